"""Trainings on images that stay on disk: the same weights as from memory, whatever interrupts them."""

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nas.data import load as load_module
from nas.train import main
from tests.running import exit_code, refusal, start
from tests.stripes import write_stripes
from tests.test_train_interrupted import STEPS_AN_EPOCH, arch, check_same, data, interrupted  # noqa: F401 - fixtures

EPOCHS, BATCH_SIZE = 3, 20


@pytest.fixture(scope="module")
def flags(data, arch):  # noqa: F811
    return [
        *("--arch", str(arch), "--data", str(data), "--epochs", str(EPOCHS), "--batch-size", str(BATCH_SIZE)),
        *("--checkpoint-every", "0.001", "--device", "cpu"),
    ]


@pytest.fixture(scope="module")
def growing(flags):
    """Sizes that change, and augmentation: all that draws random numbers."""
    more = ["--schedule", "progressive", "--stages", "2", "--randaugment", "5:10", "--mixup", "0:0.2"]
    return [*flags, *more, "--crop-area", "0.5", "--first-image-size", "8", "--loader", "stream"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, growing):
    out = tmp_path_factory.mktemp("whole") / "out"
    assert exit_code(main, [*growing, "--num-workers", 0, "--out", out]) == 0
    return out


def test_weights_are_those_of_a_training_from_memory(tmp_path, flags, capsys):
    for loader in ("memory", "stream"):
        args = [*flags, "--loader", loader, "--num-workers", 0, "--epochs", 2, "--out", tmp_path / loader]
        assert exit_code(main, args) == 0
        assert ("All 200 training images are decoded while it trains" in capsys.readouterr().out) == (
            loader == "stream"
        )
    check_same(tmp_path / "stream", tmp_path / "memory")


@pytest.mark.parametrize(("step", "workers"), [(3, 0), (STEPS_AN_EPOCH, 0), (STEPS_AN_EPOCH * 2 + 4, 1)])
def test_it_goes_on_from_any_step_to_the_last_bit(tmp_path, monkeypatch, capsys, growing, whole, step, workers):
    folder = tmp_path / "out"
    interrupted(monkeypatch, capsys, step, *growing, "--num-workers", workers, "--out", folder)
    assert exit_code(main, ["--resume", folder, "--num-workers", 0]) == 0
    check_same(folder, whole)


def workers_of(process):
    """Return the processes that a process started and that still run."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children]


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def begun(folder, args):
    """Start nas.train with two processes that decode, and wait until they do."""
    process = start("-m", "nas.train", *args, "--num-workers", "2", "--epochs", "500", "--out", str(folder))
    while process.poll() is None and not (folder / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    while process.poll() is None and not (found := workers_of(process)):
        pass
    return process, found


@pytest.mark.slow
def test_processes_end_with_the_one_that_is_killed(tmp_path, growing):
    process, workers = begun(tmp_path / "out", growing)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while any(map(running, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(running, workers))


@pytest.mark.slow
def test_interrupts_are_quiet(tmp_path, growing):
    process, workers = begun(tmp_path / "out", growing)
    for pid in filter(
        running, workers
    ):  # A terminal sends it to all. Who decodes must leave it to the one that trains.
        os.kill(pid, signal.SIGINT)
    while process.poll() is None and set(workers) & set(workers_of(process)):
        time.sleep(0.01)
    while process.poll() is None and not (workers := workers_of(process)):
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not any(map(running, workers))


@pytest.mark.slow
def test_a_process_that_is_lost_ends_it_with_one_line(tmp_path, growing):
    folder = tmp_path / "out"
    process, workers = begun(folder, growing)
    while process.poll() is None:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        workers = workers_of(process) if process.poll() is None else []
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = [line for line in said.splitlines() if not line.startswith("[")]
    assert line.startswith("error: A process that decodes images was lost: DataLoader worker")
    assert "--resume" in line


def test_one_damaged_file_is_said_and_many_end_it(tmp_path, arch, flags, capsys, caplog):  # noqa: F811
    path = write_stripes(tmp_path / "images", 300)
    files = sorted(path.rglob("*.png"))
    random.Random(0).shuffle(files)
    args = ["--arch", arch, "--data", path, "--epochs", 1, "--loader", "stream", "--num-workers", 0]
    files[0].write_bytes(b"no image")
    assert exit_code(main, [*args, "--val-images", 100, "--out", tmp_path / "one"]) == 0
    assert f"1 images could not be used, among them {files[0]}" in caplog.text
    capsys.readouterr()
    for file in files[:20]:
        file.write_bytes(b"no image")
    said = refusal(main, [*args, "--val-images", 100, "--out", tmp_path / "many"], capsys)
    assert "`corrupt images` must be at most 1% of the 200" in said
    assert not (tmp_path / "many").exists()


def test_what_does_not_fit_is_streamed_by_itself(tmp_path, monkeypatch, flags, capsys):
    monkeypatch.setattr(load_module, "MAX_DATASET_BYTES", 150 * 16**2)
    args = [*flags, "--num-workers", 0, "--epochs", 1]
    assert exit_code(main, [*args, "--out", tmp_path / "auto"]) == 0
    assert re.search(r"All 200 training images are decoded", capsys.readouterr().out)
    assert exit_code(main, [*args, "--loader", "stream", "--out", tmp_path / "stream"]) == 0
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("auto", "stream"))
    assert all(torch.equal(one[key], other[key]) for key in other)


def test_bad_numbers_of_processes_are_refused(tmp_path, flags, capsys):
    said = refusal(main, [*flags, "--num-workers", -1, "--out", tmp_path / "out"], capsys)
    assert "`num_workers` must be 0 or more, got -1" in said
