"""`python -m nas.train`, on a data set that takes moments."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import safetensors
import torch
from rich.console import Console
from safetensors.torch import load_model

from nas import ArchSpec
from nas.config import TrainSettings
from nas.data import load_dataset, load_test
from nas.models import build_model
from nas.train import main, train
from nas.training.loop import normaliser
from nas.training.validation import validate
from tests.running import everything_in, exit_code, refusal, start
from tests.stripes import CLASS_NAMES, SIZE, space, write_splits, write_stripes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=180, val=60, test=90)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data, arch):
    settings = TrainSettings(
        arch=str(arch), data=str(data), epochs=4, batch_size=20, out=tmp_path_factory.mktemp("out") / "new"
    )
    return train(settings, Console(file=io.StringIO()))


def rebuilt(weights):
    with safetensors.safe_open(weights, "pt") as file:
        said = file.metadata()
    names, mean = json.loads(said["class_names"]), json.loads(said["mean"])
    spec = ArchSpec.load(weights.with_name("arch.json"))
    torch.manual_seed(99)
    model = build_model(spec, num_classes=len(names), in_channels=len(mean))
    load_model(model, weights)
    return model, said


def test_the_folder_is_complete(trained):
    names = {path.name for path in trained.folder.path.iterdir()}
    files = ("manifest.json", "arch.json", "metrics.csv", "weights.safetensors", "best.safetensors", ".lock")
    assert names == {*files, "classes.csv", "confusion.csv"}


def test_its_classes_are_judged_on_the_test_split(trained):
    confusion = pd.read_csv(trained.folder.path / "confusion.csv", index_col="class")
    assert confusion.index.tolist() == confusion.columns.tolist() == list(CLASS_NAMES)
    assert confusion.sum(axis=1).tolist() == [30, 30, 30]
    assert np.diag(confusion).sum() / 90 == trained.test.accuracy
    classes = pd.read_csv(trained.folder.path / "classes.csv")
    assert classes["recall"].tolist() == (np.diag(confusion) / 30).tolist()


def test_it_learns_and_the_table_tells_so(trained):
    metrics = pd.read_csv(trained.folder.metrics_path)
    assert metrics["epoch"].tolist() == [1, 2, 3, 4]
    assert metrics["step"].tolist() == [9, 18, 27, 36]
    assert metrics["train_loss"].iloc[-1] < metrics["train_loss"].iloc[0]
    assert metrics["val_accuracy"].iloc[-1] == trained.validation.accuracy > 0.7
    assert trained.test.accuracy > 0.7
    assert (trained.validation.num_images, trained.test.num_images) == (60, 90)


def test_weights_that_are_loaded_back_do_as_well(trained, data):
    dataset = load_dataset(str(data), image_size=SIZE)
    normalise = normaliser(dataset)
    model, said = rebuilt(trained.folder.weights_path)
    for images, before in ((dataset.val, trained.validation), (load_test(str(data), image_size=SIZE), trained.test)):
        found = validate(model, images, normalise)
        assert found.accuracy == before.accuracy
        assert found.loss == pytest.approx(before.loss, rel=1e-4)  # Another memory format adds in another order.
    assert (tuple(json.loads(said["class_names"])), said["image_size"], said["epoch"]) == (CLASS_NAMES, str(SIZE), "4")
    assert (tuple(json.loads(said["mean"])), tuple(json.loads(said["std"]))) == (dataset.mean, dataset.std)


def test_the_best_weights_are_those_of_the_best_epoch(trained, data):
    metrics = pd.read_csv(trained.folder.metrics_path)
    model, said = rebuilt(trained.folder.best_weights_path)
    best = metrics.loc[metrics["val_accuracy"].idxmax()]
    assert int(said["epoch"]) == best["epoch"]
    dataset = load_dataset(str(data), image_size=SIZE)
    assert (
        validate(model, dataset.val, normaliser(dataset)).accuracy
        == best["val_accuracy"]
        == float(said["val_accuracy"])
    )


def test_it_repeats_itself(trained, data, arch, tmp_path):
    settings = TrainSettings(arch=str(arch), data=str(data), epochs=4, batch_size=20, out=tmp_path)
    again = train(settings, Console(file=io.StringIO()))
    assert again.validation == trained.validation
    before, after = (safetensors.torch.load_file(each.folder.weights_path) for each in (trained, again))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_image_size_and_no_test_split(tmp_path, capsys):
    data = write_stripes(tmp_path / "data", 60)
    space.reference.save(tmp_path / "small.json")
    args = ["--arch", tmp_path / "small.json", "--data", data, "--epochs", 1, "--image-size", 24, "--val-images", 20]
    assert exit_code(main, [*args, "--out", tmp_path / "out"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"Validation accuracy \d+\.\d\d% ± \d+\.\d\d% \(20 images\)", printed.out)
    assert "Test accuracy" not in printed.out
    assert pd.read_csv(tmp_path / "out" / "classes.csv")["num_images"].sum() == 20
    assert "Recognised least: " in printed.out  # One epoch does not get all of them right.
    assert re.search(r"^\[1/1\] train loss .* ETA 0 s$", printed.err, re.MULTILINE)
    model, said = rebuilt(tmp_path / "out" / "weights.safetensors")
    assert said["image_size"] == "24"
    assert model.spec.train_image_size == 24


def test_the_default_folder_is_below_results(tmp_path, monkeypatch, data, arch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code(main, ["--arch", arch, "--data", data, "--epochs", 1, "--batch-size", 90]) == 0
    (folder,) = (tmp_path / "results").iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-train-S-data\d*", folder.name)
    printed = capsys.readouterr().out
    assert f"Weights in results/{folder.name}/weights.safetensors" in printed
    assert "Test accuracy" in printed


def test_json_is_all_that_stdout_gets(tmp_path, data, arch, capsys):
    args = ["--arch", arch, "--data", data, "--epochs", 1, "--batch-size", 90, "--out", tmp_path / "out", "--json"]
    assert exit_code(main, args) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["folder"] == str(tmp_path / "out")
    assert found["weights"] == str(tmp_path / "out" / "weights.safetensors")
    assert (found["validation"]["num_images"], found["test"]["num_images"]) == (60, 90)
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv")
    assert found["validation"]["accuracy"] == metrics["val_accuracy"].iloc[-1]
    assert "[1/1] train loss" in printed.err


def test_a_published_network_by_name(tmp_path, data):
    settings = TrainSettings(
        arch="efficientnet_v2_b0", data=str(data), image_size=32, epochs=1, batch_size=90, out=tmp_path
    )
    trained = train(settings, Console(file=io.StringIO()))
    assert trained.folder.weights_path.stat().st_size > 4 * 5_000_000
    assert ArchSpec.load(tmp_path / "arch.json").name == "efficientnet_v2_b0"


def test_a_training_that_diverges_says_so_and_exits_with_1(tmp_path, data, arch, capsys):
    args = ["--arch", arch, "--data", data, "--epochs", 2, "--learning-rate", "1e30", "--out", tmp_path / "out"]
    assert exit_code(main, args) == 1
    assert "error: training loss is" in capsys.readouterr().err.splitlines()[-1]


BAD = {
    "a name that is not known": (["--arch", "efficientnet_v2_x"], "Did you mean"),
    "a missing file": (["--arch", "nowhere/S.json"], "No such file"),
    "a file that is not JSON": (["--arch", "bad/text.json"], "It does not parse"),
    "JSON that is no network": (["--arch", "bad/unknown_key.json"], "got 'width'. Choose one of"),
    "a network without stages": (["--arch", "bad/no_stages.json"], "number of stages` must be an integer from 1"),
    "a folder": (["--arch", "bad"], "Is a directory"),
    "no epochs": (["--epochs", "0"], "`epochs` must be at least 1, got 0"),
    "a batch of one": (["--batch-size", "1"], "`batch_size` must be at least 2, got 1"),
    "no learning rate": (["--learning-rate", "nan"], "`learning_rate` must be above 0"),
    "a negative weight decay": (["--weight-decay", "-1"], "`weight_decay` must be 0 or more"),
    "a negative seed": (["--seed", "-1"], "`seed` must be"),
    "no validation": (["--val-images", "0"], "`val_images` must be at least 1"),
    "a size of nothing": (["--image-size", "0"], "`image_size` must be"),
    "a size below the stride": (["--arch", "efficientnet_v2_s", "--image-size", "31"], "at least 32"),
    "unknown data": (["--data", "cifar-10"], "Did you mean 'cifar10'"),
    "more validation images than there are": (["--val-images", "1000"], "between 1 and"),
    "an unknown device": (["--device", "gpu"], "`device` must be"),
    "a folder that is in use": (["--out", "bad"], "`out` must be new or empty"),
    "a file in the way": (["--out", "bad/text.json"], "`out` must be a folder"),
    "a file in the way of a parent": (["--out", "bad/text.json/out"], "text.json is a file"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_writes_nothing(what, tmp_path, monkeypatch, data, arch, capsys):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "text.json").write_text("S")
    plain = space.reference.to_dict()
    (bad / "unknown_key.json").write_text(json.dumps({**plain, "width": 3}))
    (bad / "no_stages.json").write_text(json.dumps({**plain, "stages": []}))
    monkeypatch.chdir(tmp_path)
    before = everything_in(tmp_path)
    args, message = BAD[what]
    defaults = {"--arch": arch, "--data": data, "--epochs": 1}
    given = [word for name, value in defaults.items() if name not in args for word in (name, value)]
    assert message in refusal(main, [*given, *args], capsys)
    assert everything_in(tmp_path) == before


def test_bad_input_in_a_process_of_its_own():
    process = start("-m", "nas.train", "--arch", "efficientnet_v2_x")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, len(err.splitlines())) == (2, "", 1)
