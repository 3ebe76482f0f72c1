"""`python -m nas.predict`, on weights of a training that takes moments."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors
from rich.console import Console
from safetensors.torch import load_file, save_file

from nas.config import TrainSettings
from nas.data import load_dataset
from nas.predict import main
from nas.train import train
from nas.training.loop import normaliser
from nas.training.loop import predict as logits_of
from nas.training.weights import load_network
from tests.data.making import encode, picture, write_folder, write_parquet
from tests.running import everything_in, exit_code, refusal
from tests.stripes import CLASS_NAMES, SIZE, space, write_stripes


def trained(folder: Path, data: str) -> Path:
    space.reference.save(folder / "S.json")
    settings = TrainSettings(arch=str(folder / "S.json"), data=data, epochs=2, batch_size=20, out=folder / "out")
    return train(settings, Console(file=io.StringIO())).folder.weights_path


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("stripes"), 150)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, stripes):
    return trained(tmp_path_factory.mktemp("weights"), str(stripes))


@pytest.fixture(scope="module")
def blur_weights(tmp_path_factory):
    images = write_folder(tmp_path_factory.mktemp("noise"), {".": 120}, size=(24, 20), mode="L")
    return trained(tmp_path_factory.mktemp("blur"), f"blur:{images}?strength=8-15")


def table(weights, path, folder, *args):
    assert exit_code(main, [weights, path, "--out", folder / "scores.csv", *args]) == 0
    return pd.read_csv(folder / "scores.csv")


def test_it_answers_as_the_network_did_in_training(weights, stripes, tmp_path, capsys):
    scores = table(weights, stripes, tmp_path, "--batch-size", 7)
    files = sorted(stripes.rglob("*.png"))
    assert scores["path"].tolist() == [str(file) for file in files]
    assert scores.columns.tolist() == ["path", "class", "probability", *(f"score_{n}" for n in CLASS_NAMES), "error"]
    images = scores.filter(like="score_").to_numpy()
    assert np.allclose(images.sum(1), 1)
    assert (scores["probability"] == images.max(1)).all()
    assert scores["class"].tolist() == [CLASS_NAMES[index] for index in images.argmax(1)]
    assert scores["error"].isna().all()
    # All of them, in the order of the table, through the functions of the training.
    dataset = load_dataset(str(stripes), image_size=SIZE, val_images=50)
    network = load_network(weights)
    for split in (dataset.train, dataset.val):
        expected = logits_of(network.model, split, normaliser(load_dataset(str(stripes), image_size=SIZE))).softmax(1)
        found = {tuple(np.round(row, 4)) for row in images}
        assert {tuple(np.round(row, 4)) for row in expected.double().numpy()} <= found
    printed = capsys.readouterr()
    assert "Images: 150 (" in printed.out
    assert "could not be used" not in printed.out


def test_it_crops_where_training_did(blur_weights, tmp_path):
    """Resized, images of another size would give other answers."""
    with safetensors.safe_open(blur_weights, "pt") as file:
        assert file.metadata()["preparation"] == "crop"
    for name, size in {"exact": (SIZE, SIZE), "larger": (40, 30)}.items():
        image = picture(1, size=(40, 30), mode="L")
        left, top = (40 - size[0]) // 2, (30 - size[1]) // 2
        image.crop((left, top, left + size[0], top + size[1])).save(tmp_path / f"{name}.png")
    picture(2, size=(SIZE - 1, 50), mode="L").save(tmp_path / "small.png")
    scores = table(blur_weights, tmp_path, tmp_path)
    assert scores["score_sharp"][0] == pytest.approx(scores["score_sharp"][1])
    assert scores["error"].tolist()[2] == "15x50 pixels, too few to cut 16x16 out of them"


def test_it_resizes_where_training_did(weights, tmp_path):
    with safetensors.safe_open(weights, "pt") as file:
        assert file.metadata()["preparation"] == "resize"
    picture(1, size=(SIZE - 1, 50)).save(tmp_path / "small.png")
    assert table(weights, tmp_path, tmp_path)["error"].isna().all()


def test_images_that_cannot_be_read_are_rows_with_an_error(weights, tmp_path, capsys):
    write_folder(tmp_path / "images", {".": 5, "deep/er": 2}, size=(20, 20))
    (tmp_path / "images" / "0001.png").write_bytes(b"no image")
    (tmp_path / "images" / "0003.png").write_bytes(encode(picture(3, size=(20, 20)))[:200])
    (tmp_path / "images" / "gone.png").symlink_to("nowhere")
    (tmp_path / "images" / "notes.txt").write_text("no image either")
    scores = table(weights, tmp_path / "images", tmp_path)
    names = [str(Path(path).relative_to(tmp_path / "images")) for path in scores["path"]]
    assert names == ["0000.png", "0001.png", "0002.png", "0003.png", "0004.png", "deep/er/0000.png",
                     "deep/er/0001.png", "gone.png"]  # fmt: skip
    errors = scores["error"]
    assert np.flatnonzero(errors.notna()).tolist() == [1, 3, 7]
    assert errors[1] == "cannot be read: damaged, or no image"
    assert errors[3].startswith("cannot be read: ")
    assert errors[7] == "cannot be read: No such file or directory"
    assert scores["class"].isna().tolist() == errors.notna().tolist()
    assert "3 could not be used" in capsys.readouterr().out


def test_the_likeliest_classes(weights, stripes, tmp_path):
    (every := tmp_path / "every").mkdir()
    scores, top = table(weights, stripes, every), table(weights, stripes, tmp_path, "--top", 2)
    assert top.columns.tolist() == ["path", "class", "probability", "class_2", "probability_2", "error"]
    assert (top["class"] == scores["class"]).all()
    second = np.sort(scores.filter(like="score_").to_numpy(), 1)[:, -2]
    assert np.allclose(top["probability_2"], second)
    for row, name in enumerate(top["class_2"]):
        assert scores[f"score_{name}"][row] == pytest.approx(second[row])


def test_without_a_file_the_table_is_printed(weights, tmp_path, capsys):
    picture(1).save(tmp_path / "one.png")
    assert exit_code(main, [weights, tmp_path / "one.png"]) == 0
    printed = capsys.readouterr()
    (row,) = pd.read_csv(io.StringIO(printed.out)).to_dict("records")
    assert row["path"] == str(tmp_path / "one.png")
    assert printed.err.startswith(f"Images: 1 (1 {row['class']})")


def test_parquet_with_and_without_labels(weights, tmp_path):
    write_parquet(tmp_path / "train-0.parquet", [0, 1] * 8, images=[encode(picture(key)) for key in range(15)] + [b""])
    write_parquet(tmp_path / "test-0.parquet", [0] * 3, label_column="other")
    scores = table(weights, tmp_path, tmp_path)
    assert scores["path"].tolist() == [f"row {n} of test-0.parquet" for n in range(3)] + [
        f"row {n} of train-0.parquet" for n in range(16)
    ]
    assert np.flatnonzero(scores["error"].notna()).tolist() == [18]
    (tmp_path / "again").mkdir()
    assert len(table(weights, tmp_path / "test-0.parquet", tmp_path / "again")) == 3


def test_json_is_all_that_stdout_gets(weights, tmp_path, capsys):
    write_folder(tmp_path / "images", {".": 3})
    (tmp_path / "images" / "0001.png").write_bytes(b"")
    assert exit_code(main, [weights, tmp_path / "images", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["out"], found["num_images"], found["num_failed"]) == (None, 3, 1)
    assert sum(found["classes"].values()) == 2
    assert [row["error"] is None for row in found["predictions"]] == [True, False, True]
    assert found["predictions"][1]["probability"] is None


def test_without_any_image_that_can_be_used_the_exit_code_is_1(weights, tmp_path, capsys):
    (tmp_path / "x.png").write_bytes(b"")
    assert exit_code(main, [weights, tmp_path / "x.png"]) == 1
    assert "Images: 1 (none classified)" in capsys.readouterr().err


BAD = {
    "no such weights": (["nowhere.safetensors", "images"], "No such file"),
    "weights of something else": (["plain.safetensors", "images"], "`weights` must be a file of nas.train"),
    "weights that are an image": (["images/0000.png", "images"], "`weights` must be"),
    "edited names": (["class_names.safetensors", "images"], "`class_names of the weights` must be a list of names"),
    "edited mean": (["mean.safetensors", "images"], "`mean of the weights` must be one number, or three"),
    "edited std": (["std.safetensors", "images"], "`std of the weights` must be as many numbers above 0"),
    "edited size": (["image_size.safetensors", "images"], "`image_size of the weights` must be from 1"),
    "edited preparation": (["preparation.safetensors", "images"], "must be resize or crop, got 'guess'"),
    "edited network": (["arch.safetensors", "images"], "arch.safetensors: "),
    "no such images": (["W", "nowhere"], "`path` must be an image, a folder or a parquet file that exists"),
    "an empty folder": (["W", "empty"], "`path` must be a place with images"),
    "a damaged parquet file": (["W", "bad.parquet"], "readable parquet files"),
    "too many classes": (["W", "images", "--top", "4"], "at most 3, the classes of these weights, got 4"),
    "no class": (["W", "images", "--top", "0"], "`top` must be at least 1"),
    "no batch": (["W", "images", "--batch-size", "0"], "`batch_size` must be at least 1"),
    "an unknown device": (["W", "images", "--device", "gpu"], "`device` must be"),
    "a file that is there": (["W", "images", "--out", "bad.parquet"], "`out` must be a new file"),
    "a file in no folder": (["W", "images", "--out", "nowhere/x.csv"], "in a folder that can be written to"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_writes_nothing(what, weights, tmp_path, monkeypatch, capsys):
    write_folder(tmp_path / "images", {".": 2})
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with safetensors.safe_open(weights, "pt") as file:
        said = file.metadata()
    save_file(load_file(weights), tmp_path / "plain.safetensors")
    edits = {"class_names": "[]", "mean": "3", "std": "[0.0]", "image_size": "0", "preparation": "guess", "arch": "{}"}
    for name, value in edits.items():
        save_file(load_file(weights), tmp_path / f"{name}.safetensors", {**said, name: value})
    monkeypatch.chdir(tmp_path)
    before = everything_in(tmp_path)
    args, message = BAD[what]
    assert message in refusal(main, [str(weights) if word == "W" else word for word in args], capsys)
    assert everything_in(tmp_path) == before


def test_an_interrupted_table_leaves_nothing(weights, tmp_path, monkeypatch):
    write_folder(tmp_path / "images", {".": 2})
    monkeypatch.setattr("nas.predict.as_row", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert exit_code(main, [weights, tmp_path / "images", "--out", tmp_path / "x.csv"]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
