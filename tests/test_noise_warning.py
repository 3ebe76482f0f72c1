"""A search says whether its ranking is noise, on data where there is nothing to learn and where there is."""

import io
import json
import logging
import random
from dataclasses import replace

import pytest
from PIL import Image
from rich.console import Console

import nas.results
from nas.assembly import live_tables
from nas.config import SearchSettings
from nas.execution.endings import ending_of
from nas.execution.events import Retrained, Retraining
from nas.optimization.objectives import PARETO
from nas.optimization.trials import NoiseRepeat, noise_repeats, note_noise_repeat
from nas.results.status import read_status
from nas.search import main, search
from tests.results.report.conftest import make_run
from tests.running import ROOT, exit_code
from tests.stripes import CLASS_NAMES, write_stripes

COMMON = ("--space", "tests.stripes:space", "--fidelity", "64x1", "--device", "cpu", "--workers", 0)
WARNING = "This ranking is mostly noise"


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """Images that are all the same, so that no network is better than another."""
    root = tmp_path_factory.mktemp("blank")
    for number in range(90):
        folder = root / CLASS_NAMES[number % 3]
        folder.mkdir(exist_ok=True)
        Image.new("L", (16, 16), 128).save(folder / f"{number:02}.png")
    return root


def test_where_there_is_nothing_to_learn_everything_says_so(blank, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setattr(live_tables, "WRITE_EVERY_S", 0.0)
    monkeypatch.setattr(live_tables, "WRITE_FRACTION", float("inf"))
    run_path = tmp_path / "run"
    args = [*COMMON, "--data", blank, "--budget", 12, "--val-images", 30, "--noise-repeats", 2, "--out", run_path]
    with caplog.at_level(logging.WARNING):
        assert exit_code(main, args) == 0
    printed = capsys.readouterr()
    assert "Warning: Accuracies of 12 candidates differ by 0.00 points" in printed.out
    assert WARNING in printed.out
    assert sum(WARNING in record.getMessage() for record in caplog.records) == 1  # Once while it runs.
    assert printed.err.count("again with another seed") == 2
    run = nas.results.load(run_path)
    assert run.noise.num_repeats == len(noise_repeats(run.folder.read_study())) == 2
    assert read_status(run_path).noise.warning == run.noise.warning
    assert exit_code(main, ["--status", run_path]) == 0
    assert WARNING in capsys.readouterr().out
    assert exit_code(main, ["--status", run_path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["noise"] == run.noise.to_dict()
    assert exit_code(main, ["--resume", run_path, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["noise"]["warning"] == run.noise.warning
    assert WARNING in printed.err
    assert "again with another seed" not in printed.err  # Both are done.


def test_there_is_no_warning_while_networks_are_trained_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(live_tables, "WRITE_EVERY_S", 0.0)
    monkeypatch.setattr(live_tables, "WRITE_FRACTION", float("inf"))
    folder = make_run(tmp_path / "run", 12)
    with folder.lock():
        study = folder.study(PARETO)
        first = ending_of(study.trials[0])
        # One repeat, and far from the first training: it says that the noise is larger than the spread.
        again = replace(first.measurement, accuracy=0.0)
        note_noise_repeat(study, NoiseRepeat(1, first.number, again))
        tables = live_tables.LiveTables(folder, study, folder.manifest)
        for event in (Retraining(0, first.spec, 2, 2), first, Retrained(0, 2, 2, None)):
            tables.on_event(event)
        assert not caplog.records
        for event in (first, first):
            tables.on_event(event)
        assert sum(WARNING in record.getMessage() for record in caplog.records) == 1


def test_the_run_with_the_defaults_does_not_warn():
    noise = nas.results.load(ROOT / "results/fashion_hard_200").noise
    assert noise.warning is None
    assert noise.is_random
    assert noise.ratio > 3


@pytest.mark.slow
def test_labels_at_random_warn(tmp_path):
    """Here candidates do differ, by as much as one differs from itself."""
    data = write_stripes(tmp_path / "data", 600)
    paths = sorted(data.rglob("*.png"))
    shuffled = random.Random(0).sample(paths, len(paths))
    for number, path in enumerate(shuffled):
        path.rename(data / CLASS_NAMES[number % 3] / f"random {number}.png")
    noise = find(data, tmp_path / "run", space="tests.stripes:space", fidelity="300x2", val_images=300, budget=24).noise
    assert noise.seed.sd > 0
    assert noise.warning is not None


@pytest.mark.slow
def test_the_default_task_does_not_warn_after_little_training(tmp_path):
    noise = find("fashion-hard", tmp_path / "run", fidelity="1500x2", val_images=1500, budget=14).noise
    assert noise.ratio > 1
    assert noise.warning is None


def find(data, out, *, noise_repeats=12, **changes):
    settings = SearchSettings(
        data=str(data), out=out, workers=0, device="cpu", sampler="random", noise_repeats=noise_repeats, **changes
    )
    return search(settings, Console(file=io.StringIO()))[0]
