"""A search, or a training, on a disk that is full: one line, and nothing that was told or kept is lost."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nas.optimization.trials import candidates
from nas.results.folder import RunFolder
from tests.running import start
from tests.stripes import space, write_stripes

ARGS = ("--space", "tests.stripes:space", "--fidelity", "64x1", "--val-images", "30", "--device", "cpu", "--workers", 0)
ROOM_BYTES = 4 * 2**20


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("stripes"), 150)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few megabytes in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def search(*args):
    process = start("-m", "nas.search", *ARGS, *args)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def fill(disk: Path, left: int) -> Path:
    """Take the room on a disk up to some bytes."""
    ballast = disk / "ballast"
    stat = os.statvfs(disk)
    ballast.write_bytes(bytes(max(0, stat.f_bavail * stat.f_frsize - left)))
    return ballast


def told(path):
    return [(trial.number, trial.user_attrs, trial.values) for trial in candidates(RunFolder.open(path).read_study())]


@pytest.mark.slow
@pytest.mark.parametrize("pages", [1, 2, 3])
def test_a_full_disk_ends_the_search_with_one_line(data, small_disk, pages):
    """Full at another write each: a journal's page holds about one trial."""
    path = small_disk / "run"
    assert search("--data", data, "--budget", 2, "--out", path)[0] == 0
    ballast = fill(small_disk, pages * os.sysconf("SC_PAGESIZE"))
    code, out, err = search("--resume", path, "--budget", 30)
    assert code == 1, err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert line == (
        f"error: {path} cannot be written to: No space left on device. "
        f"All that was told is kept: make room, then go on with --resume {path}."
    )
    assert "Searching" in out or not out
    shutil.copytree(path, (copy := small_disk.parent / "copy"))  # Reading needs no room.
    RunFolder.open(copy).storage()  # Mended: what was torn had not been told.
    before = told(copy)
    assert len(before) >= 2
    ballast.unlink()
    assert search("--resume", path, "--budget", len(before) + 2)[0] == 0
    after = told(path)
    assert after[: len(before)] == before
    assert len({attributes["arch_id"] for _, attributes, _ in after}) == len(after) == len(before) + 2


@pytest.mark.slow
def test_a_file_that_may_not_grow_ends_the_search_with_one_line(data, tmp_path):
    """Where no disk can be mounted: a limit on the size of files, which the journal is the first to meet."""
    path = tmp_path / "run"
    assert search("--data", data, "--budget", 2, "--out", path)[0] == 0
    before = told(path)
    limit = (path / "journal.log").stat().st_size + 3000
    code = (
        "import resource, sys, nas.cli, nas.search\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "nas.cli.run(nas.search.main)\n"
    )
    process = start("-c", code, *ARGS, "--resume", path, "--budget", 30)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert "cannot be written to: File too large. All that was told is kept" in err
    assert search("--resume", path, "--budget", 6)[0] == 0
    assert told(path)[:2] == before
    assert len(told(path)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 20_000, 60_000])
def test_a_full_disk_ends_a_training_that_goes_on_later(data, small_disk, left, tmp_path):
    """Full at another file each: from the table of epochs to the weights."""

    def training(*args):
        process = start("-m", "nas.train", "--checkpoint-every", "0.001", "--device", "cpu", *args)
        _, err = process.communicate(timeout=300)
        return process.returncode, err

    path = small_disk / "run"
    space.reference.save(tmp_path / "S.json")
    given = ("--arch", tmp_path / "S.json", "--data", data, "--epochs", 30, "--val-images", 30, "--batch-size", 10)
    process = start("-m", "nas.train", "--checkpoint-every", "0.001", "--device", "cpu", *given, "--out", path)
    while process.poll() is None and not (path / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    ballast = fill(small_disk, left)
    code, err = training("--resume", path)
    assert code == 1, err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {path} cannot be written to: No space left on device. ")
    ballast.unlink()
    assert training("--resume", path)[0] == 0
    assert training(*given, "--out", tmp_path / "whole")[0] == 0
    one, other = (load_file(folder / "weights.safetensors") for folder in (path, tmp_path / "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)
