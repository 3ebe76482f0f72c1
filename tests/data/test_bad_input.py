"""Data that cannot be used: one line that says the rule and what to do."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nas.data import load_dataset
from nas.errors import InvalidInputError
from tests.data.making import encode, picture, write_folder, write_parquet


def refuse(path: Path | str, message: str, **arguments: Any) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        load_dataset(str(path), **arguments)
    assert "\n" not in str(caught.value)


def test_unknown_name_suggests_one() -> None:
    refuse("cifar-10", "Did you mean 'cifar10'")


@pytest.mark.parametrize("name", ["", "blur:", "crop:", "blur:?seed=1"])
def test_a_path_that_was_left_out(name: str) -> None:
    refuse(name, "a path or a name, got ''")


def test_images_that_are_too_small_to_crop(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 9, "b": 9}, size=(30, 11))
    message = (
        r"at most 1% of the 12 in a split, got 12. The first is .*a/000\d.png \(30x11 pixels, .*12x12.* smaller --"
    )
    refuse(f"crop:{tmp_path}", message, image_size=12)
    refuse(f"blur:{tmp_path}", message, image_size=12)


def test_missing_path(tmp_path: Path) -> None:
    refuse(tmp_path / "nothing", "a path that exists")


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10", "cifar100"])
def test_published_set_that_is_not_there(name: str) -> None:
    refuse(name, "downloading is off.*NAS_DATA_DIR", download=False)


def test_empty_folder(tmp_path: Path) -> None:
    refuse(tmp_path, "a subfolder for each class")


def test_classes_without_images(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    refuse(tmp_path, "at least two classes")


def test_one_class(tmp_path: Path) -> None:
    refuse(write_folder(tmp_path / "folder", {"a": 9}), "at least two classes.*'a'")
    refuse(write_parquet(tmp_path / "x.parquet", [1] * 9), "at least two classes.*'dog'")


def test_class_with_a_single_image(tmp_path: Path) -> None:
    refuse(write_folder(tmp_path, {"a": 9, "b": 1}), "at least 2, got '1 of b'")


def test_splits_without_training(tmp_path: Path) -> None:
    write_folder(tmp_path / "val", {"a": 4, "b": 4})
    refuse(tmp_path, "with train/ beside")


def test_validation_class_that_training_lacks(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"a": 4, "b": 4})
    write_folder(tmp_path / "val", {"a": 4, "c": 4})
    refuse(tmp_path, r"got 'c'. val/ has a class that train/ does not have")


def test_file_that_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(b"PK")
    refuse(tmp_path / "images.zip", "a folder, a .parquet file or a name")


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1 and then nothing PAR1"])
def test_file_that_is_not_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.parquet").write_bytes(content)
    refuse(tmp_path / "train.parquet", "readable parquet files")
    refuse(tmp_path, "readable parquet files")


def test_parquet_folder_without_training(tmp_path: Path) -> None:
    write_parquet(tmp_path / "test.parquet", [0, 1] * 5)
    refuse(tmp_path, "a folder with a training split")


def test_parquet_without_its_columns(tmp_path: Path) -> None:
    refuse(write_parquet(tmp_path / "a.parquet", [0, 1] * 5, image_column="picture"), "among others img or image")
    refuse(write_parquet(tmp_path / "b.parquet", [0, 1] * 5, label_column="fine_label"), "among others label")
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "label": [0, 1]}), tmp_path / "c.parquet")
    refuse(tmp_path / "c.parquet", "must be bytes")
    pq.write_table(pa.table({"image": [b"a", b"b"], "label": ["cat", "dog"]}), tmp_path / "d.parquet")
    refuse(tmp_path / "d.parquet", "integers")


def test_labels_that_name_no_class(tmp_path: Path) -> None:
    refuse(write_parquet(tmp_path / "high.parquet", [0, 1, 2, 3] * 3), "below 3, the number of classes, got 3")
    refuse(write_parquet(tmp_path / "negative.parquet", [0, 1, -1] * 3), "0 or more, got -1")
    refuse(write_parquet(tmp_path / "null.parquet", [0, 1, None] * 3), "got '3 nulls'")


def test_empty_parquet(tmp_path: Path) -> None:
    refuse(write_parquet(tmp_path / "empty.parquet", []), "at least two classes")


def test_too_many_corrupt_images_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 30, "b": 30})
    for index in range(5):
        (tmp_path / "a" / f"{index:04}.png").write_bytes(b"no image")
    refuse(tmp_path, r"corrupt images` must be at most 1%.*png.*replace or remove")


def test_no_image_can_be_read(tmp_path: Path) -> None:
    refuse(write_parquet(tmp_path / "x.parquet", [0, 1] * 5, images=[b"nothing"] * 10), "images that can be read")


def test_sizes_that_differ_ask_for_one(tmp_path: Path) -> None:
    oblong = write_folder(tmp_path / "oblong", {"a": 4, "b": 4}, size=(12, 10))
    refuse(oblong, "got '12x10'.*--image-size")
    mixed = [encode(picture(index, size=(12 + index, 12 + index))) for index in range(10)]
    refuse(write_parquet(tmp_path / "mixed.parquet", [0, 1] * 5, images=mixed), "--image-size")


@pytest.mark.parametrize("number", [0, -1, 22, 1000])
def test_validation_that_leaves_no_training(tmp_path: Path, number: int) -> None:
    path = write_folder(tmp_path, {"a": 12, "b": 11})
    assert len(load_dataset(str(path), val_images=21).train) == 2
    refuse(path, "val_images` must be between 1 and 21", val_images=number)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"image_size": 7}, "image_size` must be at least 8"), ({"seed": -1}, "seed` must be 0 or more")],
)
def test_bad_arguments(arguments: dict[str, int], message: str) -> None:
    refuse("fashion-hard", message, **arguments)
