"""`python -m nas.evaluate`, on weights of trainings that take moments."""

import io
import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nas.config import EvaluateSettings, TrainSettings
from nas.data import load_dataset, load_test
from nas.data.batches import prepare
from nas.evaluate import evaluate, main
from nas.train import train
from nas.training.loop import normaliser
from nas.training.validation import validate
from nas.training.weights import load_network
from tests.data.making import encode, write_folder, write_parquet
from tests.running import everything_in, exit_code, file_size_limit, refusal
from tests.stripes import CLASS_NAMES, SIZE, space, striped, write_splits, write_stripes


def trained_on(folder, data, **settings):
    space.reference.save(folder / "S.json")
    given = {"epochs": 2, "batch_size": 20, "out": folder / "out", **settings}
    return train(TrainSettings(arch=str(folder / "S.json"), data=str(data), **given), Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=120, val=60, test=90)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    return trained_on(tmp_path_factory.mktemp("weights"), data)


@pytest.fixture(scope="module")
def weights(trained):
    return trained.folder.weights_path


@pytest.fixture(scope="module")
def blur(tmp_path_factory):
    images = write_folder(tmp_path_factory.mktemp("noise"), {".": 60}, size=(24, 20), mode="L")
    name = f"blur:{images}?strength=8-15"
    return name, trained_on(tmp_path_factory.mktemp("blur"), name, epochs=1)


def same(found, before):
    """Whether two validations say the same; the order of a batch's sums may differ."""
    assert (found.accuracy, found.num_images) == (before.accuracy, before.num_images)
    assert found.loss == pytest.approx(before.loss, rel=1e-4)
    return True


def test_the_test_split_by_default_as_the_training_did(trained, data, tmp_path, capsys):
    out = tmp_path / "out"
    args = ["--weights", trained.folder.weights_path, "--data", data, "--batch-size", 7, "--out", out]
    assert exit_code(main, args) == 0
    for name in ("classes.csv", "confusion.csv"):
        assert (out / name).read_text() == (trained.folder.path / name).read_text()
    printed = capsys.readouterr().out
    accuracy = f"Test accuracy {trained.test.accuracy:.2%} ± {trained.test.accuracy_stderr:.2%}, loss "
    assert printed.startswith(accuracy)
    assert f"(90 images at {SIZE} pixels)" in printed
    confusion = pd.read_csv(out / "confusion.csv", index_col="class")
    for name in CLASS_NAMES:
        [row] = [line for line in printed.splitlines() if line.startswith(f"│ {name} ")]
        assert f"{confusion.loc[name, name] / 30:.1%} ± " in row
    assert f"Tables in {out}" in printed


def test_the_validation_split_of_the_training(trained, data, tmp_path):
    found = evaluate(EvaluateSettings(trained.folder.weights_path, str(data), split="validation"))
    assert same(found.found.validation, trained.validation)
    flat = write_stripes(tmp_path / "flat", 90)
    again = trained_on(tmp_path, flat, seed=3, val_images=30)
    judged = partial(EvaluateSettings, again.folder.weights_path, str(flat))
    found = evaluate(judged(seed=3, val_images=30))
    assert found.split == "validation"
    assert same(found.found.validation, again.validation)
    assert evaluate(judged(seed=4, val_images=30)).found.validation != found.found.validation
    assert evaluate(judged(split="all")).found.validation.num_images == 90


def test_all_images_are_those_of_every_split(weights, data):
    found = [
        evaluate(EvaluateSettings(weights, str(data), split=split)).found for split in ("all", "test", "validation")
    ]
    everything, test, val = (each.confusion for each in found)
    rest = everything - test - val
    assert rest.sum(1).tolist() == [40, 40, 40]
    assert (rest >= 0).all()


def test_larger_images_and_the_statistics_of_the_training(weights, data, tmp_path):
    """Darker images than those of the training: the numbers that they are normalised by are the training's."""
    for label, name in enumerate(CLASS_NAMES):
        (tmp_path / "dark" / name).mkdir(parents=True)
        images = striped(60, seed=1, num_classes=3)
        for index in range(label, 60, 3):
            dark = images.images[index, 0].numpy() // 2
            Image.fromarray(dark).resize((40, 40)).save(tmp_path / "dark" / name / f"{index:02}.png")
    found = evaluate(EvaluateSettings(weights, str(tmp_path / "dark"), image_size=24, val_images=30))
    of_training, network = load_dataset(str(data), image_size=SIZE), load_network(weights)
    dark = load_dataset(str(tmp_path / "dark"), image_size=24, val_images=30)
    by_hand = partial(prepare, mean=of_training.mean, std=of_training.std)
    assert same(found.found.validation, validate(network.model, dark.val, by_hand))
    own = validate(network.model, dark.val, normaliser(dark)).loss
    assert found.found.validation.loss != pytest.approx(own, rel=1e-3)
    assert found.image_size == 24


def test_classes_in_another_order_are_mapped(weights, data, tmp_path):
    names = ("squares", "across", "down")
    images = load_test(str(data), image_size=SIZE)
    encoded = [encode(Image.fromarray(image[0].numpy())) for image in images.images]
    labels = [names.index(CLASS_NAMES[label]) for label in images.labels.tolist()]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}-0.parquet", labels, images=encoded, names=names)
    found = evaluate(EvaluateSettings(weights, str(tmp_path)))
    assert found.class_names == CLASS_NAMES
    assert (found.found.confusion == evaluate(EvaluateSettings(weights, str(data))).found.confusion).all()


def test_colour_images_for_a_network_of_grey_ones(weights, tmp_path):
    for name in CLASS_NAMES:
        write_folder(tmp_path, {name: 4})
    found = evaluate(EvaluateSettings(weights, str(tmp_path), split="all"))
    assert found.found.validation.num_images == 12


def test_images_are_cropped_where_training_cropped_them(blur):
    name, trained = blur
    found = evaluate(EvaluateSettings(trained.folder.weights_path, name))
    assert same(found.found.validation, trained.validation)


def test_a_corrupt_image_is_skipped_and_counted(weights, tmp_path, caplog):
    write_stripes(tmp_path, 102)
    (tmp_path / "down" / "0001.png").write_bytes(b"no image")
    found = evaluate(EvaluateSettings(weights, str(tmp_path), split="all"))
    assert found.found.confusion.sum(1).tolist() == [34, 33, 34]
    assert "skipped 1 corrupt images" in caplog.text


def test_json_is_all_that_stdout_gets(trained, weights, data, capsys):
    assert exit_code(main, ["--weights", weights, "--data", data, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["image_size"], found["num_images"], found["out"]) == ("test", SIZE, 90, None)
    assert (found["accuracy"], found["accuracy_stderr"]) == (trained.test.accuracy, trained.test.accuracy_stderr)
    assert [row["class"] for row in found["classes"]] == list(CLASS_NAMES)
    recalled = sum(row["recall"] * row["num_images"] for row in found["classes"])
    assert recalled == pytest.approx(90 * trained.test.accuracy)


def test_a_loss_that_is_not_finite_is_null(weights, data, tmp_path, capsys):
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    broken = {**load_file(weights), "classifier.1.bias": torch.full((3,), torch.nan)}
    save_file(broken, tmp_path / "broken.safetensors", metadata)
    assert exit_code(main, ["--weights", tmp_path / "broken.safetensors", "--data", data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] is None


def test_a_class_without_images_has_no_recall(weights, tmp_path, capsys):
    write_folder(tmp_path, {"across": 3, "down": 3, "squares": 0})
    assert exit_code(main, ["--weights", weights, "--data", tmp_path, "--split", "all", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["classes"][2]
    assert (row["num_images"], row["recall"], row["mistaken_for"]) == (0, None, None)
    assert exit_code(main, ["--weights", weights, "--data", tmp_path, "--split", "all"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ squares ")]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert (cells[:3], cells[-1]) == (["squares", "0", "-"], "")


def test_a_full_disk_is_one_line(weights, data, tmp_path, capsys):
    args = ["--weights", weights, "--data", data, "--out", tmp_path / "out"]
    with file_size_limit(20):
        assert exit_code(main, args) == 1
    line = capsys.readouterr().err
    assert line == (
        f"error: {tmp_path / 'out'} cannot be written to: File too large. "
        "Free some space, or choose another place with --out.\n"
    )
    assert list((tmp_path / "out").iterdir()) == []


BAD = {
    "no such weights": (["--weights", "nowhere.safetensors"], "No such file"),
    "weights of something else": (["--weights", "animals/cat/0000.png"], "`weights` must be"),
    "no such data": (["--data", "nowhere/images"], "`data` must be a path that exists"),
    "other classes": (
        ["--data", "animals"],
        "`classes of the data` must be those of the weights, got 2 in the data, 3 in the weights; only the data have "
        "'cat'; only the weights have 'across', 'squares'. Name the classes alike",
    ),
    "more classes": (["--data", "more"], "4 in the data, 3 in the weights; only the data have 'spots'."),
    "other classes of the same number": (
        ["--data", "renamed"],
        "only the data have 'up'; only the weights have 'down'",
    ),
    "no test split": (["--data", "flat", "--split", "test"], "`split` must be one that the data have, got 'test'"),
    "an unknown split": (["--split", "train"], "--split"),
    "crops": (["--data", "crop:flat"], "`data` must be resized, as in training, got 'crop:flat'"),
    "too small images": (["--image-size", "7"], "`image_size` must be from 8 to 4096"),
    "too large images": (["--image-size", "4097"], "`image_size` must be from 8 to 4096"),
    "no batch": (["--batch-size", "0"], "`batch_size` must be at least 1"),
    "a negative seed": (["--seed", "-1"], "`seed` must be"),
    "no validation images": (["--val-images", "0"], "`val_images` must be at least 1"),
    "validation images of a test split": (["--split", "test", "--val-images", "9"], "left out with --split test"),
    "too many validation images": (["--data", "flat", "--val-images", "90"], "`val_images` must be between 1 and"),
    "an unknown device": (["--device", "gpu"], "`device` must be"),
    "a folder in use": (["--out", "flat"], "`out` must be new or empty"),
    "a file in the way": (["--out", "animals/cat/0000.png"], "`out` must be a folder"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_writes_nothing(what, weights, data, tmp_path, monkeypatch, capsys):
    write_folder(tmp_path / "animals", {"cat": 2, "down": 2})
    write_folder(tmp_path / "flat", dict.fromkeys(CLASS_NAMES, 4))
    write_folder(tmp_path / "more", dict.fromkeys((*CLASS_NAMES, "spots"), 2))
    write_folder(tmp_path / "renamed", dict.fromkeys(("across", "up", "squares"), 2))
    monkeypatch.chdir(tmp_path)
    before = everything_in(tmp_path)
    args, message = BAD[what]
    defaults = {"--weights": weights, "--data": data}
    given = [word for name, value in defaults.items() if name not in args for word in (name, value)]
    assert message in refusal(main, [*given, *args], capsys)
    assert everything_in(tmp_path) == before


def test_arrays_of_other_channels_are_refused(tmp_path, capsys):
    """A network of blurred and sharp colour images, on grey ones that are no files."""
    images = write_folder(tmp_path / "noise", {".": 30}, size=(24, 20))
    trained = trained_on(tmp_path, f"blur:{images}", epochs=1)
    capsys.readouterr()
    args = ["--weights", trained.folder.weights_path, "--data", "blur:fashion-hard"]
    args += ["--split", "validation", "--val-images", 2]
    assert "`data` must be images of 3 channels, as in training, got '1'" in refusal(main, args, capsys)


def test_a_network_says_the_same_at_every_batch_size(weights, data):
    found = [evaluate(EvaluateSettings(weights, str(data), batch_size=size)).found for size in (1, 500)]
    assert same(*(each.validation for each in found))
    assert np.array_equal(*(each.confusion for each in found))
    assert torch.is_grad_enabled()
