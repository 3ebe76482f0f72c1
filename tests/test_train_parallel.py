"""`nas.train` in several processes, as torchrun starts them: files and numbers are those of one process."""

import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from nas.results.training_manifest import TrainingManifest
from nas.train import main
from tests.running import exit_code, refusal, start
from tests.stripes import space, write_splits
from tests.test_train_interrupted import interrupted

TIMES = ["train_s", "elapsed_s"]
FILES = {
    *("manifest.json", "arch.json", "metrics.csv", "weights.safetensors", "best.safetensors", ".lock"),
    *("classes.csv", "confusion.csv"),
}


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    root = tmp_path_factory.mktemp("together")
    write_splits(root / "data", train=151, val=40, test=30)
    replace(space.reference, dropout=0.2, stochastic_depth=0.2).save(root / "S.json")
    return [
        *("--arch", str(root / "S.json"), "--data", str(root / "data"), "--epochs", "7", "--batch-size", "25"),
        *("--schedule", "progressive", "--stages", "2", "--mixup", "0.1:0.2", "--randaugment", "5", "--ema", "0.9"),
        *("--checkpoint-every", "0.001", "--device", "cpu"),
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, flags):
    out = tmp_path_factory.mktemp("alone") / "out"
    assert exit_code(main, [*flags, "--out", out]) == 0
    return out


def torchrun(*args):
    return start("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nas.train", *args)


def check_alike(folder, alone):
    one, other = (pd.read_csv(each / "metrics.csv").drop(columns=TIMES) for each in (folder, alone))
    assert other["step"].iloc[-1] >= 30
    pd.testing.assert_frame_equal(one, other, rtol=0, atol=1e-4)
    assert {path.name for path in folder.iterdir()} == FILES


def test_what_one_process_began_two_end(tmp_path, monkeypatch, capsys, flags, alone):
    folder = tmp_path / "out"
    interrupted(monkeypatch, capsys, 9, *flags, "--out", folder)
    process = torchrun("--resume", str(folder))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    check_alike(folder, alone)
    assert out.count("Going on with") == out.count("Test accuracy") == 1  # One process speaks for all.
    assert len(re.findall(r"^\[7/7\] train loss", err, re.MULTILINE)) == 1


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path, flags, alone):
    process = torchrun(*flags, "--out", str(tmp_path / "out"))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    check_alike(tmp_path / "out", alone)
    assert TrainingManifest.load(tmp_path / "out" / "manifest.json").hardware["num_processes"] == 2


def workers_of(process):
    """Return the processes of a torchrun, by rank."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = {}
    for child in children:
        said = dict(line.partition("=")[::2] for line in Path(f"/proc/{child}/environ").read_text().split("\0"))
        if "RANK" in said:
            ranks[int(said["RANK"])] = int(child)
    return ranks


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_the_end_of_one_ends_all_and_the_training_can_go_on(tmp_path, flags, rank):
    long = [*flags, "--epochs", "60"]
    assert exit_code(main, [*long, "--out", tmp_path / "alone"]) == 0
    folder = tmp_path / "out"
    process = torchrun(*long, "--out", str(folder))
    while process.poll() is None and not (folder / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    os.kill(workers_of(process)[rank], signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Signal 9 (SIGKILL) received" in err
    assert not (folder / "weights.safetensors").exists()
    assert exit_code(main, ["--resume", folder]) == 0
    check_alike(folder, tmp_path / "alone")


@pytest.fixture
def second_of_four(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("second_of_four")
def test_what_cannot_be_shared_out_is_said_before_any_work(tmp_path, flags, capsys):
    said = refusal(main, [*flags, "--batch-size", 7, "--out", tmp_path / "out"], capsys)
    assert "`batch_size` must be at least 8 with 4 processes, got 7" in said
    said = refusal(main, [*flags, "--accumulate", 4, "--out", tmp_path / "out"], capsys)
    assert "`batch_size` must be at least 32 with 4 processes and 4 parts, got 25" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("second_of_four")
def test_only_the_first_shows_the_plan(flags, capsys):
    assert exit_code(main, [*flags, "--plan"]) == 0
    assert capsys.readouterr().out == ""
