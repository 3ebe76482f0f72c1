"""`python -m nas.train` with images and regularisation that grow."""

import json

import pandas as pd
import pytest
import safetensors

from nas import ArchSpec
from nas.assembly.trainings import make_recipe
from nas.config import TrainSettings
from nas.train import main
from tests.running import everything_in, exit_code, refusal
from tests.stripes import SIZE, space, write_splits
from tests.test_train_interrupted import check_same, interrupted


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=120, val=40, test=30)


@pytest.fixture(scope="module")
def flags(tmp_path_factory, data):
    arch = tmp_path_factory.mktemp("arch") / "S.json"
    space.reference.save(arch)
    return ["--arch", arch, "--data", data, "--batch-size", 20, "--device", "cpu"]


PROGRESSIVE = ["--schedule", "progressive", "--epochs", 4, "--first-image-size", 8]


def metrics_of(folder):
    return pd.read_csv(folder / "metrics.csv")


def test_images_and_regularisation_grow(tmp_path, flags):
    strengths = ["--randaugment", "2:9", "--mixup", "0:0.2", "--dropout", "0.1:0.3", "--random-erasing", "0:0.2"]
    assert exit_code(main, [*flags, *PROGRESSIVE, *strengths, "--ema", 0.9, "--out", tmp_path / "out"]) == 0
    metrics = metrics_of(tmp_path / "out")
    sizes = metrics["image_size"].tolist()
    assert sizes[0] == 8
    assert sizes == sorted(sizes)
    assert sizes[-1] == SIZE == ArchSpec.load(tmp_path / "out" / "arch.json").train_image_size
    assert metrics["val_accuracy"].iloc[-1] > 0.5
    with safetensors.safe_open(tmp_path / "out" / "weights.safetensors", "pt") as file:
        assert file.metadata()["image_size"] == str(SIZE)


def test_it_goes_on_across_a_stage_to_the_last_bit(tmp_path, monkeypatch, flags, capsys):
    args = [*flags, *PROGRESSIVE, "--randaugment", "2:9", "--mixup", "0.1:0.4", "--ema", 0.9, "--recipe", "torchvision"]
    args += ["--learning-rate", 0.05, "--epochs", 8, "--checkpoint-every", 0.001]
    assert exit_code(main, [*args, "--out", tmp_path / "whole"]) == 0
    whole = metrics_of(tmp_path / "whole")
    for step in (whole["step"][1], whole["step"][1] + 1, whole["step"][4] + 2):  # A stage is two epochs.
        folder = tmp_path / str(step)
        interrupted(monkeypatch, capsys, step, *args, "--out", folder)
        assert exit_code(main, ["--resume", folder]) == 0
        check_same(folder, tmp_path / "whole")


def test_a_size_drawn_for_each_stage(tmp_path, flags):
    args = ["--schedule", "random-resize", "--stages", 6, "--epochs", 6, "--first-image-size", 8]
    assert exit_code(main, [*flags, *args, "--out", tmp_path / "out"]) == 0
    sizes = metrics_of(tmp_path / "out")["image_size"]
    assert sizes.between(8, SIZE).all()
    assert sizes.nunique() > 1
    assert ArchSpec.load(tmp_path / "out" / "arch.json").train_image_size == SIZE


def test_small_images_come_in_larger_batches(tmp_path, flags):
    args = [*PROGRESSIVE, "--max-batch-size", 60]
    assert exit_code(main, [*flags, *args, "--out", tmp_path / "out"]) == 0
    steps = metrics_of(tmp_path / "out")["step"].diff().fillna(metrics_of(tmp_path / "out")["step"][0])
    assert steps.iloc[0] == 2  # 120 images, 60 at a time
    assert steps.iloc[-1] == 6


@pytest.mark.parametrize(
    ("settings", "decay"),
    [
        ({}, "cosine"),
        ({"schedule": "random-resize"}, "cosine"),
        ({"schedule": "progressive"}, "trapezoid"),
        ({"schedule": "code:b0"}, "trapezoid"),
        ({"schedule": "progressive", "decay": "linear"}, "linear"),
        ({"schedule": "s", "recipe": "efficientnet_v2"}, "exponential"),
    ],
)
def test_the_rate_falls_late_where_images_grow(settings, decay):
    assert make_recipe(TrainSettings(arch="efficientnet_v2_s", **settings)).decay == decay


def test_the_plan_writes_nothing_and_is_what_happens(tmp_path, monkeypatch, flags, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code(main, [*flags, *PROGRESSIVE, "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert everything_in(tmp_path) == {}
    assert [stage["epochs"] for stage in plan["stages"]] == [1, 1, 1, 1]
    assert plan["steps"] == sum(stage["steps"] for stage in plan["stages"]) == 24
    assert 0.3 < plan["relative_macs"] < 0.9
    assert exit_code(main, [*flags, *PROGRESSIVE, "--plan"]) == 0
    assert "24 steps" in capsys.readouterr().out
    assert exit_code(main, [*flags, *PROGRESSIVE, "--out", tmp_path / "out"]) == 0
    metrics = metrics_of(tmp_path / "out")
    assert metrics["image_size"].tolist() == [stage["image_size"] for stage in plan["stages"]]
    assert metrics["step"].iloc[-1] == 24


def test_the_published_schedule_of_a_published_network(flags, capsys):
    args = ["--arch", "efficientnet_v2_s", "--schedule", "s", "--epochs", 350, "--recipe", "efficientnet_v2"]
    assert exit_code(main, [*args, "--data", flags[3], "--plan", "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [stage["image_size"] for stage in stages] == [128, 185, 243, 300]
    assert [stage["epochs"] for stage in stages] == [88, 87, 87, 88]


BAD = {
    "an unknown schedule": (["--schedule", "progresive"], "Did you mean 'progressive'"),
    "an unknown recipe": (["--recipe", "efficientnet_v3"], "Did you mean 'efficientnet_v2'"),
    "no stages": ([*PROGRESSIVE, "--stages", 0], "`stages` must be at least 1"),
    "more stages than epochs": ([*PROGRESSIVE, "--stages", 9], "`epochs` must be at least 9"),
    "a first size above the last": ([*PROGRESSIVE[:4], "--first-image-size", 64], "from 8 to the last stage's"),
    "a size for a published schedule": (["--schedule", "s", "--image-size", 64], "left out with --schedule s"),
    "a strength for a published schedule": (["--schedule", "s", "--mixup", "0:1"], "left out with --schedule s"),
    "a first size without stages": (["--first-image-size", 8], "Add --schedule progressive"),
    "a range without stages": (["--dropout", "0.1:0.3"], "one number with --schedule fixed"),
    "a range that is none": ([*PROGRESSIVE, "--dropout", "low:high"], "FIRST:LAST or one number"),
    "a negative strength": ([*PROGRESSIVE, "--randaugment", "-1:5"], "FIRST:LAST or one number"),
    "a dropout of 1": ([*PROGRESSIVE, "--dropout", "0:1"], "`dropout` must be from 0 up to"),
    "an average that never moves": (["--ema", 1], "`ema` must be above 0 and below 1"),
    "a largest batch below the batch": ([*PROGRESSIVE, "--max-batch-size", 10], "`max_batch_size` must be at least 20"),
    "parts of one image": (["--accumulate", 11], "`accumulate` must be from 1 to half the batch size"),
    "a warm-up longer than the training": (["--recipe", "efficientnet_v2", "--epochs", 5], "`warmup_epochs` must be"),
    "no patience": (["--patience", 0], "`patience` must be at least 1"),
    "no seconds between checkpoints": (["--checkpoint-every", 0], "`checkpoint_every` must be above 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_writes_nothing(what, tmp_path, monkeypatch, flags, capsys):
    monkeypatch.chdir(tmp_path)
    args, message = BAD[what]
    given = [*flags, *args] if "--epochs" in args else [*flags, "--epochs", 4, *args]
    assert message in refusal(main, given, capsys)
    assert everything_in(tmp_path) == {}
