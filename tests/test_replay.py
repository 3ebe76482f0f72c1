"""`python -m nas.search --replay`: a run's numbers come out again, or it says which do not."""

import io
import json
import shutil

import pandas as pd
import pytest
from rich.console import Console

import nas.results
from nas.config import SearchSettings
from nas.results.folder import RunFolder
from nas.search import main, search
from tests.running import everything_in, exit_code, refusal
from tests.stripes import write_stripes
from tests.tabular import rows, write_table


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("stripes"), 90)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run of three trained candidates, evaluated one after the other in this process."""
    settings = SearchSettings(
        **{"budget": 3, "space": "tests.stripes:space", "data": str(data), "fidelity": "64x1", "val_images": 30},
        **{"workers": 0, "device": "cpu", "noise_repeats": 0, "out": tmp_path_factory.mktemp("trained") / "run"},
    )
    return search(settings, Console(file=io.StringIO()))[0].folder.path


@pytest.fixture
def looked_up(tmp_path):
    """A run in a table, of all its networks."""
    settings = SearchSettings(
        **{"space": "tests.tabular:space", "table": write_table(tmp_path / "small.csv"), "objective": "accuracy-macs"},
        **{"budget": 21, "workers": 0, "out": tmp_path / "run"},
    )
    return search(settings, Console(file=io.StringIO()))[0].folder.path


def test_a_candidate_has_the_same_accuracy_on_another_worker_and_in_another_order(trained, tmp_path, capsys):
    run_path = shutil.copytree(trained, tmp_path / "run")
    before = everything_in(run_path)
    assert exit_code(main, ["--replay", run_path, "--workers", 2, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    run, table = nas.results.load(run_path), pd.read_csv(run_path / "replay.csv")
    assert printed["agrees"] is True
    assert [row["number"] for row in printed["candidates"]] == table["number"].tolist()
    assert set(table["number"]) == {*run.pareto["number"], *run.trials.loc[run.trials["origin"] == "small", "number"]}
    assert len(table) >= 2
    assert table["accuracy_again"].tolist() == table["accuracy"].tolist()
    assert table["accuracy_tolerance"].eq(0).all()
    assert table["num_params_again"].tolist() == table["num_params"].tolist()
    assert table["step_time_s_again"].gt(0).all()
    assert table["step_time_s_again"].ne(table["step_time_s"]).any(), "it was timed anew, not read from timings.jsonl"
    after = everything_in(run_path)
    assert {name for name in after if after[name] != before.get(name)} == {"replay.csv"}


def test_other_images_are_refused_before_anything_is_trained(trained, tmp_path, capsys):
    run_path = shutil.copytree(trained, tmp_path / "run")
    other = write_stripes(tmp_path / "other", 90, seed=1)
    assert "`data_fingerprint`" in refusal(main, ["--replay", run_path, "--data", other], capsys)
    assert not (run_path / "replay.csv").exists()


def test_a_run_in_a_table(looked_up, capsys):
    assert exit_code(main, ["--replay", looked_up]) == 0
    assert "exactly, 0 within noise." in capsys.readouterr().out
    assert pd.read_csv(looked_up / "replay.csv")["agrees"].all()


def test_an_accuracy_that_does_not_come_out_again(looked_up, capsys):
    journal = RunFolder.open(looked_up).journal_path
    number = int(nas.results.load(looked_up).best["number"])
    accuracy = float(nas.results.load(looked_up).best["accuracy"])
    journal.write_text(journal.read_text().replace(f'"accuracy":{accuracy!r}', f'"accuracy":{accuracy + 0.01!r}'))
    assert exit_code(main, ["--replay", looked_up]) == 1
    assert f"do not agree with what was measured: trials {number}." in capsys.readouterr().out
    table = pd.read_csv(looked_up / "replay.csv").set_index("number")
    assert table.index[~table["agrees"]].tolist() == [number]
    assert table.loc[number, "accuracy_difference"] == pytest.approx(-0.01)


def test_a_table_that_has_changed_is_refused(looked_up, tmp_path, capsys):
    write_table(tmp_path / "small.csv", [row | {"second": 0.5} for row in rows()])
    assert "`data_fingerprint`" in refusal(main, ["--replay", looked_up], capsys)


def test_a_run_that_is_searched_is_left_alone(looked_up, capsys):
    with RunFolder.open(looked_up).lock():
        assert "Another process works on it" in refusal(main, ["--replay", looked_up], capsys)


def test_replay_and_resume_are_given_one_at_a_time(looked_up, capsys):
    assert "given one at a time" in refusal(main, ["--replay", looked_up, "--resume", looked_up], capsys)
