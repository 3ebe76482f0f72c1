"""Image folders: one subfolder a class, with or without a folder for each split above them."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nas.data.encoded import EncodedImage, EncodedSplit
from nas.data.sampling import Indices
from nas.data.sources import Source
from nas.errors import InvalidInputError, invalid

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
VAL_NAMES = ("val", "valid", "validation")
_GROUP = 4096
_LAYOUT = "Put each class's images in a folder of its own, either directly or below train/ and val/."


class FileSplit(EncodedSplit):
    """The image files below a folder's subfolders, at any depth, in the order of their names.

    Args:
        root: The folder.
        class_names: Its subfolders; a class of them without a folder has no images here. One may be "." for the folder
            itself, or the name of a single file, which is taken for an image whatever it is called.
    """

    def __init__(self, root: Path, class_names: tuple[str, ...]) -> None:
        self.paths: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(class_names):
            paths = [root / name] if (root / name).is_file() else _image_files(root / name)
            self.paths.extend(paths)
            labels.extend([label] * len(paths))
        self.labels = np.array(labels, dtype=np.int64)

    def groups(self, indices: Indices) -> Iterator[list[EncodedImage]]:
        for start in range(0, len(indices), _GROUP):
            paths = [self.paths[index] for index in indices[start : start + _GROUP]]
            yield [EncodedImage(str(path), path) for path in paths]


def read_images(root: Path, *, with_test: bool) -> Source:
    """Find all images below a folder, or below its splits where it has train/; folders in these are no classes.

    Raises:
        InvalidInputError: If there is none to train on.
    """
    names = _subfolders(root)
    val = next((name for name in VAL_NAMES if name in names), None) if "train" in names else None
    test = "test" if with_test and {"train", "test"} <= {*names} else None
    train, val_split, test_split = (
        FileSplit(root, (name,)) if name is not None else None
        for name in ("train" if "train" in names else ".", val, test)
    )
    if not train:
        todo = f"Known are {', '.join(sorted(IMAGE_SUFFIXES))}."
        raise invalid("data", "a folder with images in it, or below it", str(root), todo)
    return Source(("image",), train, val_split or None, test_split or None)


def read_folder(root: Path, *, with_test: bool) -> Source:
    """Find classes and splits: train/ with val/ (or valid/, validation/) and test/, or the classes themselves.

    Raises:
        InvalidInputError: If there is no class, or a split has a class that training does not have.
    """
    names = _subfolders(root)
    if "train" not in names and any(name in names for name in (*VAL_NAMES, "test")):
        raise invalid("data", "a folder with train/ beside its other splits", str(root), _LAYOUT)
    if "train" not in names:
        return Source(_class_names(root), FileSplit(root, _class_names(root)))
    class_names = _class_names(root / "train")
    val = next((root / name for name in VAL_NAMES if name in names), None)
    test = root / "test" if with_test and "test" in names else None
    for split in (val, test):
        if split is not None and (unknown := sorted(set(_class_names(split)) - set(class_names))):
            todo = f"{split.name}/ has a class that train/ does not have."
            raise invalid("class folders", f"among {list(class_names)[:10]}", unknown[0], todo)
    return Source(
        class_names,
        FileSplit(root / "train", class_names),
        FileSplit(val, class_names) if val else None,
        FileSplit(test, class_names) if test else None,
    )


def _subfolders(root: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InvalidInputError(f"`data` must be a folder that can be read. {error}.") from error


def _class_names(root: Path) -> tuple[str, ...]:
    names = tuple(_subfolders(root))
    if not names:
        raise invalid("data", "a folder with a subfolder for each class", str(root), _LAYOUT)
    return names


def _image_files(folder: Path) -> list[Path]:
    found = [
        Path(parent, file)
        for parent, _, files in os.walk(folder, followlinks=True)
        for file in files
        if Path(file).suffix.lower() in IMAGE_SUFFIXES and not file.startswith(".")
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
