"""`python -m nas.calibrate` from end to end: real trainings, on a data set that takes moments."""

import io
import json
import os
import shutil
import signal
import time
from collections import Counter
from dataclasses import fields

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import nas.search
from nas import InvalidInputError
from nas.calibrate import calibrate, main, plan
from nas.config import DEFAULT_FIDELITY, CalibrateSettings
from nas.config.calibrate import ladder
from nas.evaluation.design import random_networks
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import job_seed
from nas.evaluation.proxy_factory import PROXY_RECIPE
from nas.results.calibration.evaluations import read_evaluations
from nas.results.calibration.table import CALIBRATION_DTYPES
from nas.results.manifest import Manifest
from nas.training.recipe import Recipe
from tests.running import everything_in, exit_code, refusal, start
from tests.stripes import space, write_stripes

FIDELITIES = ("32x1", "64x1")
NUM_TRAININGS = 4 * 2 * 3
COMMON = (
    *("--space", "tests.stripes:space", "--networks", 4, "--fidelities", *FIDELITIES, "--long", "90x2"),
    *("--val-images", 60, "--device", "cpu"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("stripes"), 150)


def settings_of(data, out, **changes):
    known = {
        **{"space": "tests.stripes:space", "data": str(data), "networks": 4, "fidelities": FIDELITIES, "long": "90x2"},
        **{"val_images": 60, "workers": 0, "device": "cpu", "out": out},
    }
    return CalibrateSettings(**(known | changes))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "cal"
    calibration, ended = calibrate(settings_of(data, path), Console(file=io.StringIO()))
    assert ended
    assert calibration.folder.path == path
    return path


@pytest.fixture
def path(finished, tmp_path):
    """A finished calibration of one's own."""
    return shutil.copytree(finished, tmp_path / "cal")


def test_every_network_is_trained_at_every_fidelity_with_every_seed(finished):
    found = read_evaluations(finished / "evaluations.jsonl")
    specs = random_networks(space, 4)
    assert len(found) == NUM_TRAININGS
    assert Counter((each.role, each.fidelity) for each in found) == {
        ("proxy", "32x1"): 8, ("proxy", "64x1"): 8, ("long", "90x2"): 8,
    }  # fmt: skip
    for each in found:
        assert each.arch_id == specs[each.network].arch_id
        assert each.seed in [job_seed(repeat, Fidelity.parse(each.fidelity)) for repeat in (0, 1)]
        assert 0 <= each.accuracy <= 1
        assert each.val_loss > 0
        assert each.num_val_images == 60
        assert each.train_cpu_s > 0
    assert [each.role for each in found] == ["proxy"] * 16 + ["long"] * 8
    assert len({each.seed for each in found[16:20]}) == 1  # one seed of the long training, then the other


def test_the_folder_is_complete(finished):
    names = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert names == {
        *("manifest.json", "evaluations.jsonl", "calibration.csv", "calibration.json", "summary.md"),
        "tau_against_cost.png",
    }
    table = pd.read_csv(finished / "calibration.csv")
    assert list(table.columns) == list(CALIBRATION_DTYPES)
    assert table["name"].tolist()[2] == "90x2"
    assert table["cost_s"].tolist()[:2] == sorted(table["cost_s"].tolist()[:2])
    assert str(finished) not in (finished / "calibration.json").read_text()


def test_the_command_line_reports_a_calibration(path, capsys):
    for name in ("calibration.csv", "calibration.json", "summary.md", "tau_against_cost.png"):
        (path / name).unlink()
    assert exit_code(main, ["--report", path, "--min-tau", -1]) == 0
    printed = capsys.readouterr().out
    assert "Rank correlation with 90x2" in printed
    assert f"python -m nas.search --fidelity from:{path}" in printed
    assert (path / "summary.md").is_file()
    assert (path / "tau_against_cost.png").is_file()
    assert exit_code(main, ["--report", path, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"folder": str(path), **json.loads((path / "calibration.json").read_text())}


def test_a_resumed_calibration_trains_what_is_missing(path, data, capsys):
    file = path / "evaluations.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    failed = {**json.loads(lines[0]), "accuracy": None, "fail_reason": "error: none"}
    file.write_bytes(b"".join([json.dumps(failed).encode() + b"\n", *lines[1:20], lines[20][:50]]))
    assert exit_code(main, ["--resume", path, "--workers", 0, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["num_trainings"] == NUM_TRAININGS
    ended = [line for line in printed.err.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in ended] == [f"[{n}/24" for n in range(20, 25)]
    again = {each.key: each for each in read_evaluations(file)}
    before = {each.key: each for each in map(_read, lines)}
    assert again.keys() == before.keys()
    for key, each in again.items():
        assert (each.accuracy, each.val_loss) == (before[key].accuracy, before[key].val_loss)


def test_a_calibration_can_be_given_more_fidelities(path, capsys):
    assert exit_code(main, ["--resume", path, "--workers", 0, "--fidelities", "32x1", "45x1"]) == 0
    table = pd.read_csv(path / "calibration.csv")
    assert set(table.loc[table["kind"] == "proxy", "name"]) == {"32x1", "45x1", "64x1"}
    assert len((path / "evaluations.jsonl").read_bytes().splitlines()) == NUM_TRAININGS + 8
    assert exit_code(main, ["--resume", path, "--workers", 0]) == 0
    assert len((path / "evaluations.jsonl").read_bytes().splitlines()) == NUM_TRAININGS + 8
    capsys.readouterr()


def test_a_search_takes_its_fidelity(path, data, tmp_path, capsys):
    assert exit_code(main, ["--report", path, "--min-tau", -1]) == 0
    [name] = pd.read_csv(path / "calibration.csv")["name"][:1]
    args = ["--space", "tests.stripes:space", "--data", data, "--val-images", 60, "--budget", 1, "--device", "cpu"]
    run = tmp_path / "run"
    assert exit_code(nas.search.main, [*args, "--workers", 0, "--fidelity", f"from:{path}", "--out", run]) == 0
    manifest = Manifest.load(run / "manifest.json")
    assert manifest.fidelity == manifest.settings["fidelity"] == name
    assert manifest.calibration["folder"] == str(path)
    shutil.rmtree(path)
    capsys.readouterr()
    assert exit_code(nas.search.main, ["--resume", run, "--workers", 0]) == 0  # without the calibration
    capsys.readouterr()
    said = refusal(nas.search.main, ["--fidelity", f"from:{path}", "--out", tmp_path / "none"], capsys)
    assert "`calibration` must be a folder with a manifest.json" in said
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--networks", 3), "`networks` must be from 4 to 1000"),
        (("--space", "nowhere"), "`space` must be"),
        (("--data", "nowhere"), "`data` must be"),
        (("--device", "nowhere"), "`device` must be"),
        (("--fidelities", "5x"), "`fidelity` must be IMAGESxEPOCHS"),
        (("--fidelities", "5x1", "5x1"), "`fidelities` must be one or more, each once"),
        (("--long", "12"), "`fidelity` must be IMAGESxEPOCHS"),
        (("--repeats", 0), "`repeats` must be from 1 to 100"),
        (("--min-tau", 1.5), "`min_tau` must be from -1 to 1"),
        (("--workers", -1), "`workers` must be from 0 to 1024"),
        (("--seed", -1), "`seed` must be from 0"),
        (("--val-images", 0), "`val_images` must be at least 1"),
        (("--report", "a", "--resume", "b"), "given one at a time"),
    ],
)
def test_bad_input_is_told_and_nothing_written(arguments, message, data, tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        if "--resume" in arguments:
            with pytest.raises(InvalidInputError, match=message):
                CalibrateSettings(report=tmp_path, resume=tmp_path).check()
        else:
            assert message in refusal(main, [*COMMON, "--data", data, *arguments], capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_used_or_does_not_fit_is_left_alone(path, data, capsys):
    before = everything_in(path)
    common = [*COMMON, "--workers", 0]
    assert "go on with it by --resume" in refusal(main, [*common, "--data", data, "--out", path], capsys)
    said = refusal(main, ["--resume", path, "--workers", 0, "--networks", 5], capsys)
    assert "`networks` must be as in the calibration that is resumed (4), got 5" in said
    assert "`long` must be" in refusal(main, ["--resume", path, "--workers", 0, "--long", "90x3"], capsys)
    assert "`space` must be" in refusal(
        main, ["--resume", path, "--workers", 0, "--space", "efficientnet_v2_tiny"], capsys
    )
    assert everything_in(path) == before


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.integers(1, 20))
def test_the_ladder_is_brief(num_images, images, epochs):
    long = Fidelity(images, epochs)
    steps = [Fidelity.parse(text) for text in ladder(num_images, long)]
    seen = [step.images_seen for step in steps]
    assert seen == sorted(seen)
    assert len(set(steps)) == len(steps)
    assert len(steps) == 1 or seen[-1] < long.images_seen


def test_the_ladder_is_about_a_searchs_default():
    assert ladder(50_000, Fidelity(30_000, 12)) == ("2500x1", "5000x1", "5000x2", "10000x2")
    assert DEFAULT_FIDELITY in ladder(50_000, Fidelity(30_000, 12))
    assert ladder(3_000, Fidelity(30_000, 12)) == ("2500x1", "3000x1", "3000x2")


def test_trainings_are_those_of_a_search_and_of_nas_train():
    settings = CalibrateSettings(networks=4, fidelities=("64x1",), long="90x2", seed=3)
    planned = plan(settings, random_networks(space, 4))
    brief, long = planned[0].job, planned[-1].job
    assert (brief.recipe, brief.seed) == (PROXY_RECIPE, job_seed(3, Fidelity(64, 1)))
    assert (long.recipe, long.seed) == (Recipe(), job_seed(4, Fidelity(90, 2)))
    assert [each.job.number for each in planned] == list(range(16))


def test_settings_survive_the_manifest():
    settings = CalibrateSettings(networks=7, fidelities=("64x1",), val_images=9)
    assert CalibrateSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert CalibrateSettings.from_dict(CalibrateSettings().to_dict()) == CalibrateSettings()
    with pytest.raises(InvalidInputError, match="Did you mean 'networks'"):
        CalibrateSettings.from_dict({"network": 1})
    assert "report" in {f.name for f in fields(CalibrateSettings)} - settings.to_dict().keys()


def _read(line):
    from nas.results.calibration.evaluations import Evaluation

    return Evaluation.from_dict(json.loads(line))


def start_calibration(data, path, *arguments):
    target = ["--resume", path] if path.exists() else [*COMMON, "--data", data, "--out", path]
    return start("-m", "nas.calibrate", *target, "--workers", 1, *arguments)


def wait_for(path, num_lines, process):
    deadline = time.monotonic() + 180
    file = path / "evaluations.jsonl"
    while not file.exists() or file.read_bytes().count(b"\n") < num_lines:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_what_it_would_have_found(finished, data, tmp_path):
    path = tmp_path / "cal"
    for num_lines in (1, 5, 11, 17):
        process = start_calibration(data, path)
        wait_for(path, num_lines, process)
        process.kill()
        process.communicate()
    with (path / "evaluations.jsonl").open("ab") as file:
        file.write(b'{"network": 3, "arch')  # what a full disk would leave
    process = start_calibration(data, path)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "was torn and has been cut off" in err
    found, expected = (
        {each.key: (each.accuracy, each.val_loss) for each in read_evaluations(folder / "evaluations.jsonl")}
        for folder in (path, finished)
    )
    assert found == expected
    # Nothing that was on record was trained again.
    assert len((path / "evaluations.jsonl").read_bytes().splitlines()) == NUM_TRAININGS


@pytest.mark.slow
def test_ctrl_c_awaits_what_is_running(data, tmp_path):
    path = tmp_path / "cal"
    process = start_calibration(data, path)
    wait_for(path, 2, process)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert f"Go on with: python -m nas.calibrate --resume {path}" in out
    assert (path / "calibration.json").is_file()
    ended = [line for line in err.splitlines() if line.startswith("[")]
    assert len(read_evaluations(path / "evaluations.jsonl")) == len(ended) < NUM_TRAININGS
