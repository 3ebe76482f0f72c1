"""Flags of `nas.train` about how it computes and what else it writes."""

import json
import shutil

import pandas as pd
import pytest
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nas.train import main
from tests.running import exit_code, refusal
from tests.stripes import space, write_splits
from tests.test_train_interrupted import interrupted


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    root = tmp_path_factory.mktemp("flags")
    write_splits(root / "data", train=120, val=60)
    space.reference.save(root / "S.json")
    common = ["--arch", root / "S.json", "--data", root / "data", "--epochs", 4, "--batch-size", 20]
    return [*common, "--device", "cpu", "--checkpoint-every", "0.001"]


def metrics(folder):
    return pd.read_csv(folder / "metrics.csv")


@pytest.fixture(scope="module")
def plain(tmp_path_factory, flags):
    out = tmp_path_factory.mktemp("plain") / "out"
    assert exit_code(main, [*flags, "--out", out]) == 0
    return metrics(out)


@pytest.mark.parametrize(("precision", "error"), [("bfloat16", 0.1), ("float16", 0.02)])
def test_half_precision_on_a_cpu(tmp_path, flags, plain, precision, error):
    out = tmp_path / "out"
    assert exit_code(main, [*flags, "--precision", precision, "--out", out]) == 0
    found = metrics(out)["train_loss"]
    assert (found != plain["train_loss"]).all()
    assert found.tolist() == pytest.approx(plain["train_loss"].tolist(), abs=error)
    assert json.loads((out / "manifest.json").read_text())["settings"]["precision"] == precision
    assert {str(tensor.dtype) for tensor in load_file(out / "weights.safetensors").values()} == {
        "torch.float32",
        "torch.int64",
    }


def test_float32_is_what_a_cpu_does_anyway(tmp_path, flags, plain):
    assert exit_code(main, [*flags, "--precision", "float32", "--out", tmp_path / "out"]) == 0
    assert metrics(tmp_path / "out")["val_loss"].tolist() == plain["val_loss"].tolist()


def test_precisions_that_are_none(tmp_path, flags, capsys):
    said = refusal(main, [*flags, "--precision", "float8", "--out", tmp_path / "out"], capsys)
    assert "precision" in said
    assert "float8" in said


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_network_learns_the_same(tmp_path, flags, plain):
    out = tmp_path / "out"
    assert exit_code(main, [*flags, "--compile", "--out", out]) == 0
    assert metrics(out)["train_loss"].tolist() == pytest.approx(plain["train_loss"].tolist(), abs=0.01)
    assert json.loads((out / "manifest.json").read_text())["settings"]["compile"] is True


def test_tensorboard_shows_the_table_also_of_a_training_that_went_on(tmp_path, monkeypatch, capsys, flags):
    folder = tmp_path / "out"
    interrupted(monkeypatch, capsys, 13, *flags, "--tensorboard", "--out", folder)
    assert exit_code(main, ["--resume", folder]) == 0
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    table = metrics(folder)
    for column in table.columns.drop("epoch"):
        found = events.Scalars(column)
        assert [event.step for event in found] == table["epoch"].tolist() == [1, 2, 3, 4]
        assert [event.value for event in found] == pytest.approx(table[column].tolist())


def test_there_is_no_board_unless_asked_for(tmp_path, flags):
    assert exit_code(main, [*flags, "--out", tmp_path / "out"]) == 0
    assert not (tmp_path / "out" / "tensorboard").exists()
