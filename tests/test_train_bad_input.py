"""Trainings whose data are damaged, or whose disk is full: clear words, and nothing that was kept is lost."""

import resource

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from nas.train import main
from nas.training.checkpoint import Checkpoint
from nas.training.course import Course
from nas.training.state import TrainingState
from tests.data.making import picture, write_folder
from tests.running import everything_in, exit_code, file_size_limit, refusal
from tests.stripes import CLASS_NAMES, SIZE, write_splits, write_stripes
from tests.test_train_interrupted import check_same, interrupted

EPOCHS, STEPS_AN_EPOCH = 6, 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=100, val=60)


def brief(arch, data, out):
    """Flags of a training of one epoch."""
    return ["--arch", arch, "--data", data, "--epochs", 1, "--batch-size", 50, "--out", out]


@pytest.mark.parametrize("others", [{}, {"dog": 0, "owl": 0}], ids=["no other folder", "empty folders"])
def test_a_single_class_is_refused(arch, tmp_path, capsys, others):
    write_folder(tmp_path / "data", {"cat": 20, **others})
    before = everything_in(tmp_path)
    said = refusal(main, brief(arch, tmp_path / "data", tmp_path / "out"), capsys)
    assert "`data` must be images of at least two classes, got ['cat']. There is nothing to tell apart." in said
    assert everything_in(tmp_path) == before


def test_a_corrupt_image_among_many_is_skipped_and_counted(arch, tmp_path, caplog, capsys):
    write_splits(tmp_path / "data", train=102, val=12, test=102)
    for split in ("train", "test"):
        (tmp_path / "data" / split / "down" / "0001.png").write_bytes(b"no image")
    assert exit_code(main, brief(arch, tmp_path / "data", tmp_path / "out")) == 0
    assert "skipped 1 corrupt images" in caplog.text
    assert "skipped 1 corrupt test images" in caplog.text
    assert "(101 images)" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "out" / "classes.csv")["num_images"].tolist() == [34, 33, 34]
    assert pd.read_csv(tmp_path / "out" / "metrics.csv")["step"].tolist() == [2]


def test_many_corrupt_images_are_refused(arch, tmp_path, capsys):
    write_stripes(tmp_path / "data", 90)
    for file in (tmp_path / "data" / "down").iterdir():
        file.write_bytes(file.read_bytes()[:60])
    before = everything_in(tmp_path)
    said = refusal(main, brief(arch, tmp_path / "data", tmp_path / "out"), capsys)
    assert "`corrupt images` must be at most 1% of the 60 in a split" in said
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("kind", ["crop:", "blur:"])
def test_images_smaller_than_the_crop(arch, tmp_path, caplog, capsys, kind):
    for split, count in (("train", 34), ("val", 2)):
        write_folder(tmp_path / "images" / split, dict.fromkeys(CLASS_NAMES, count), size=(20, 20), mode="L")
    small = picture(1, size=(SIZE - 1, 40), mode="L")
    small.save(tmp_path / "images" / "train" / "down" / "0000.png")
    args = brief(arch, f"{kind}{tmp_path / 'images'}", tmp_path / "out")
    assert exit_code(main, args) == 0
    assert "skipped 1 corrupt or too small images" in caplog.text
    capsys.readouterr()
    small.save(tmp_path / "images" / "train" / "down" / "0001.png")
    said = refusal(main, [*args[:-1], tmp_path / "again"], capsys)
    assert "`number of images that are too small` must be at most 1% of the" in said
    assert f"({SIZE - 1}x40 pixels, too few to cut {SIZE}x{SIZE} out of them)" in said
    assert not (tmp_path / "again").exists()


@pytest.fixture(scope="module")
def flags(arch, data):
    return ["--arch", arch, "--data", data, "--epochs", EPOCHS, "--batch-size", 20, "--checkpoint-every", "0.001"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, flags):
    out = tmp_path_factory.mktemp("whole") / "out"
    assert exit_code(main, [*flags, "--out", out]) == 0
    return out


def test_other_classes_than_those_of_the_checkpoint(monkeypatch, capsys, arch, tmp_path):
    data = write_stripes(tmp_path / "data", 90)
    interrupted(monkeypatch, capsys, 2, *brief(arch, data, tmp_path / "out"), "--batch-size", 20)
    write_folder(data, {"spots": 10}, size=(SIZE, SIZE), mode="L")
    before = everything_in(tmp_path)
    said = refusal(main, ["--resume", tmp_path / "out"], capsys)
    assert "must be as in the training that is resumed (content or split of the data set: " in said
    assert everything_in(tmp_path) == before


def full_after(monkeypatch, step, num_bytes):
    """Have files that trainings of this process write fail from a step on, unless they are short; inside its limit."""
    plain = Course.__call__

    def counted(self, number, loss):
        ends = plain(self, number, loss)
        if number == step:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
        return ends

    monkeypatch.setattr(Course, "__call__", counted)


def train_until_full(monkeypatch, step, num_bytes, *args):
    """Begin or go on with a training whose disk is full from a step on; return its exit code."""
    with monkeypatch.context() as patch, file_size_limit(resource.RLIM_INFINITY):
        full_after(patch, step, num_bytes)
        return exit_code(main, args)


def step_before_a_better_epoch(whole):
    """Return the step after which an epoch begins that is better than all before it."""
    accuracies = pd.read_csv(whole / "metrics.csv")["val_accuracy"]
    better = [number for number in range(2, EPOCHS) if accuracies[number] > accuracies[:number].max()]
    return better[0] * STEPS_AN_EPOCH


def metrics_only(whole):
    """Return a size that leaves room for tables, and for no weights."""
    size = 2 * (whole / "metrics.csv").stat().st_size
    assert size < (whole / "best.safetensors").stat().st_size
    return size


def test_a_full_disk_while_the_best_weights_are_saved(monkeypatch, capsys, flags, whole, tmp_path):
    folder, step = tmp_path / "out", step_before_a_better_epoch(whole)
    interrupted(monkeypatch, capsys, step, *flags, "--out", folder)
    before = everything_in(folder)
    kept = TrainingState.load(folder / "checkpoint.safetensors", what(folder))
    assert train_until_full(monkeypatch, kept.step + 1, metrics_only(whole), "--resume", folder) == 1
    check_full(capsys, folder, f"What was kept is whole: make room, then go on with --resume {folder}.")
    after = everything_in(folder)
    assert {name for name in after if after[name] != before.get(name)} == {"metrics.csv"}
    assert exit_code(main, ["--resume", folder]) == 0
    check_same(folder, whole)


def test_a_full_disk_while_the_last_weights_are_saved(monkeypatch, capsys, flags, whole, tmp_path):
    folder = tmp_path / "out"
    last = EPOCHS * STEPS_AN_EPOCH
    assert train_until_full(monkeypatch, last, metrics_only(whole), *flags, "--out", folder) == 1
    check_full(capsys, folder, f"What was kept is whole: make room, then go on with --resume {folder}.")
    assert not (folder / "weights.safetensors").exists()
    assert 0 < TrainingState.load(folder / "checkpoint.safetensors", what(folder)).step < last
    one, other = (load_file(each / "best.safetensors") for each in (folder, whole))
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert exit_code(main, ["--resume", folder]) == 0
    check_same(folder, whole)


def test_a_full_disk_for_checkpoints_costs_a_warning_and_none_of_what_was_kept(
    monkeypatch, capsys, caplog, flags, whole, tmp_path
):
    """There is room for weights, and for no checkpoint, which is three times as large."""
    folder, room = tmp_path / "out", 2 * (whole / "weights.safetensors").stat().st_size
    interrupted(monkeypatch, capsys, 8, *flags, "--out", folder)
    before = (folder / "checkpoint.safetensors").read_bytes()
    assert len(before) > room
    with file_size_limit(room):
        interrupted(monkeypatch, capsys, 20, "--resume", folder, "--checkpoint-every", "0.001")
    assert f"A training cannot be kept in {folder / 'checkpoint.safetensors'}: File too large." in caplog.text
    assert (folder / "checkpoint.safetensors").read_bytes() == before
    assert [path.name for path in folder.iterdir() if "partial" in path.name] == []
    with file_size_limit(room):
        assert exit_code(main, ["--resume", folder]) == 0
    check_same(folder, whole)


def test_a_full_disk_at_the_very_beginning(capsys, flags, tmp_path):
    with file_size_limit(100):
        assert exit_code(main, [*flags, "--out", tmp_path / "out"]) == 1
    check_full(capsys, tmp_path / "out", "Make room, or choose another folder.")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_a_full_disk_when_classes_are_written(monkeypatch, capsys, flags, whole, tmp_path):
    folder = tmp_path / "out"
    plain = Checkpoint.remove  # The last thing that is done before.

    def remove(self):
        plain(self)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))

    with file_size_limit(resource.RLIM_INFINITY):
        monkeypatch.setattr(Checkpoint, "remove", remove)
        assert exit_code(main, [*flags, "--out", folder]) == 1
    todo = "The weights are whole: make room, then python -m nas.evaluate writes these tables."
    check_full(capsys, folder, todo)
    check_same(folder, whole)


def what(folder):
    """Return what the folder's checkpoint says that it is of."""
    with safe_open(folder / "checkpoint.safetensors", "pt") as file:
        return file.metadata()["what"]


def check_full(capsys, folder, todo):
    """Whether a training ended in one line about its disk, and left no half a file."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert err.splitlines()[-1] == f"error: {folder} cannot be written to: File too large. {todo}"
    assert [path.name for path in folder.iterdir() if "partial" in path.name] == []
