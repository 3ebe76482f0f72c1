"""Trainings that are killed and taken up again end with the weights of one that was not, to the last bit."""

import json
import random
import signal
import time
from dataclasses import replace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from nas.results.folder import locked
from nas.train import main
from nas.training.course import Course
from tests.running import exit_code, refusal, start
from tests.stripes import space, write_splits

EPOCHS, BATCH_SIZE, NUM_IMAGES = 6, 20, 200
STEPS_AN_EPOCH = NUM_IMAGES // BATCH_SIZE


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=NUM_IMAGES, val=40)


@pytest.fixture(scope="module")
def arch(tmp_path_factory):
    path = tmp_path_factory.mktemp("arch") / "S.json"
    replace(space.reference, dropout=0.3, stochastic_depth=0.3).save(path)
    return path


@pytest.fixture(scope="module")
def flags(data, arch):
    return [
        *("--arch", str(arch), "--data", str(data), "--epochs", str(EPOCHS), "--batch-size", str(BATCH_SIZE)),
        *("--checkpoint-every", "0.001", "--device", "cpu"),
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, flags):
    out = tmp_path_factory.mktemp("whole") / "out"
    assert exit_code(main, [*flags, "--out", out]) == 0
    return out


class KilledError(Exception):
    """Ends a training as a kill does: nothing comes after it."""


def kill_after(monkeypatch, step):
    """Have trainings of this process end right after a step."""
    plain = Course.__call__

    def counted(self, number, loss):
        ends = plain(self, number, loss)
        if number == step:
            raise KilledError
        return ends

    monkeypatch.setattr(Course, "__call__", counted)


def interrupted(monkeypatch, capsys, step, *args):
    """Begin a training with flags that is killed after a step."""
    with monkeypatch.context() as patch:
        kill_after(patch, step)
        with pytest.raises(KilledError):
            main([str(arg) for arg in args])
    capsys.readouterr()


def check_same(folder, whole):
    for name in ("weights.safetensors", "best.safetensors"):
        one, other = load_file(folder / name), load_file(whole / name)
        assert all(torch.equal(one[key], other[key]) for key in other)
    one, other = (pd.read_csv(each / "metrics.csv") for each in (folder, whole))
    times = ["train_s", "elapsed_s"]
    pd.testing.assert_frame_equal(one.drop(columns=times), other.drop(columns=times))
    assert one["elapsed_s"].is_monotonic_increasing
    assert not (folder / "checkpoint.safetensors").exists()


STEPS = sorted({*random.Random(0).sample(range(2, EPOCHS * STEPS_AN_EPOCH), 6), STEPS_AN_EPOCH, STEPS_AN_EPOCH + 1})


@pytest.mark.parametrize("step", STEPS)
def test_it_goes_on_from_any_step_to_the_last_bit(tmp_path, monkeypatch, capsys, flags, whole, step):
    folder = tmp_path / "out"
    interrupted(monkeypatch, capsys, step, *flags, "--out", folder)
    assert (folder / "checkpoint.safetensors").exists() == (step > 1)
    assert exit_code(main, ["--resume", folder]) == 0
    check_same(folder, whole)


def killed_in_the_middle(folder, args, rng):
    """Start nas.train and kill it at a random moment after its first checkpoint; return whether it still ran."""
    process = start("-m", "nas.train", *args)
    while process.poll() is None and not (folder / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 1.5))
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return running


def test_a_process_that_is_killed_and_one_that_goes_on(tmp_path, flags, whole):
    folder = tmp_path / "out"
    killed_in_the_middle(folder, [*flags, "--out", str(folder)], random.Random(0))
    if not (folder / "weights.safetensors").exists():  # It may have been faster.
        assert exit_code(main, ["--resume", folder]) == 0
    check_same(folder, whole)


@pytest.mark.slow
def test_ten_processes_are_killed_and_the_last_one_ends_the_training(tmp_path, data, arch):
    long = ["--arch", str(arch), "--data", str(data), "--epochs", "60", "--batch-size", str(BATCH_SIZE)]
    long += ["--checkpoint-every", "0.001", "--device", "cpu"]
    assert exit_code(main, [*long, "--out", tmp_path / "whole"]) == 0
    rng, folder = random.Random(1), tmp_path / "out"
    kills = int(killed_in_the_middle(folder, [*long, "--out", str(folder)], rng))
    while kills < 10 and not (folder / "weights.safetensors").exists():
        kills += killed_in_the_middle(folder, ["--resume", str(folder)], rng)
    if not (folder / "weights.safetensors").exists():
        assert exit_code(main, ["--resume", folder]) == 0
    assert kills >= 3
    check_same(folder, tmp_path / "whole")


def test_settings_are_those_of_the_folder(tmp_path, monkeypatch, flags, capsys):
    folder = tmp_path / "out"
    interrupted(monkeypatch, capsys, 15, *flags, "--out", folder)
    said = refusal(main, ["--resume", folder, "--epochs", 9], capsys)
    assert "`epochs` must be as in the training that is resumed (6), got 9" in said
    assert "`out` must be left out with --resume" in refusal(main, ["--resume", folder, "--out", "x"], capsys)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "data_fingerprint": "0" * 16}))
    assert "content or split of the data set" in refusal(main, ["--resume", folder], capsys)


def test_what_cannot_go_on_is_said(tmp_path, whole, capsys):
    assert "This one has ended" in refusal(main, ["--resume", whole], capsys)
    assert "`resume` must be a folder with a manifest.json" in refusal(main, ["--resume", tmp_path], capsys)


def test_a_damaged_checkpoint_is_passed_over(tmp_path, monkeypatch, capsys, flags, whole, caplog):
    folder = tmp_path / "out"
    interrupted(monkeypatch, capsys, 15, *flags, "--out", folder)
    checkpoint = folder / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    assert exit_code(main, ["--resume", folder]) == 0
    assert "A training begins anew" in caplog.text
    check_same(folder, whole)


def test_a_second_process_keeps_out(tmp_path, monkeypatch, flags, capsys):
    folder = tmp_path / "out"
    interrupted(monkeypatch, capsys, 15, *flags, "--out", folder)
    with locked(folder, "training"):
        assert "training" in refusal(main, ["--resume", folder], capsys)
