"""`python -m nas.search --storage`: several searches, each with a run folder of its own, on one study."""

import re

import pytest

import nas.results
from nas.optimization.storage.address import STORAGE_VARIABLE
from nas.optimization.trials import DRIVER
from nas.search import main
from tests.running import everything_in, exit_code, refusal, start
from tests.stripes import COMMON, write_stripes

SECRET = "S3cretWord"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("stripes"), 150)


def test_a_search_joins_a_study_with_its_settings_and_no_others(data, tmp_path, capsys):
    """One search begins a study; another joins it with a larger budget, saying no more than its name."""
    url = f"journal://{tmp_path / 'journal'}"
    sharing = ["--storage", url, "--study", "shared", "--workers", 0]
    first = [*COMMON, "--data", data, "--budget", 3, "--no-warm-start", "--noise-repeats", 0, "--out", tmp_path / "a"]
    assert exit_code(main, [*sharing, *first]) == 0
    assert f"Join it elsewhere with: --storage {url} --study shared" in capsys.readouterr().out
    assert exit_code(main, [*sharing, "--device", "cpu", "--budget", 5, "--out", tmp_path / "b"]) == 0
    assert "[3/5] resuming" in capsys.readouterr().err
    runs = [nas.results.load(tmp_path / name) for name in ("a", "b")]
    assert [len(run.trials) for run in runs] == [5, 5], "one study, whichever folder it is read through"
    assert runs[1].manifest.settings["fidelity"] == "64x1"
    assert len({trial.user_attrs[DRIVER] for trial in runs[0].candidates}) == 2
    assert {"trials.csv", "S.json"} <= set(everything_in(tmp_path / "b"))
    before = everything_in(tmp_path)
    args = [*sharing, "--device", "cpu", "--fidelity", "32x1", "--out", tmp_path / "c"]
    assert "`fidelity` must be as in the run" in refusal(main, args, capsys)
    assert {name: before[name] for name in before if name != "journal"} == {
        name: content for name, content in everything_in(tmp_path).items() if name != "journal"
    }


@pytest.mark.slow
def test_two_searches_at_the_same_time_meet_one_budget(data, tmp_path):
    sharing = ["--storage", f"journal://{tmp_path / 'journal'}", "--study", "shared", "--workers", 1]
    args = [*COMMON, "--data", data, "--budget", 8, *sharing]
    searches = [start("-m", "nas.search", *args, "--out", tmp_path / name) for name in ("a", "b")]
    for each in searches:
        _, err = each.communicate(timeout=300)
        assert each.returncode == 0, err
        assert "8 of 8 candidates evaluated" in err
    trials = nas.results.load(tmp_path / "a").trials
    assert (len(trials), trials["arch_id"].nunique()) == (8, 8)


@pytest.mark.slow
def test_passwords_are_in_no_file_and_not_printed(data, tmp_path, postgres, monkeypatch, capsys):
    url, run = postgres.replace("nas@", f"nas:{SECRET}@"), tmp_path / "run"
    monkeypatch.delenv(STORAGE_VARIABLE, raising=False)
    args = [*COMMON, "--data", data, "--budget", 3, "--workers", 0, "--storage", url, "--study", "s", "--out", run]
    assert exit_code(main, args) == 0
    assert SECRET not in "".join(capsys.readouterr())
    for name, content in everything_in(run).items():
        assert SECRET.encode() not in content, name
    assert "an address with its password" in refusal(main, ["--resume", run], capsys)
    assert "an address with its password" in refusal(main, ["--status", run], capsys)
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    assert exit_code(main, ["--resume", run, "--budget", 4]) == 0
    assert exit_code(main, ["--status", run]) == 0
    printed = capsys.readouterr()
    assert re.search("Candidates +4 of 4", printed.out)
    assert SECRET not in "".join(printed)
