"""Image folders: one subfolder a class, with or without a folder for each split above them."""

import hashlib
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
        self._root = root
        found = [[name] if (root / name).is_file() else _image_files(root, name) for name in class_names]
        # An array, not a list: processes that read it go on sharing its memory, since no counts of references change.
        self._names = np.array([os.fsencode(name) for names in found for name in names], dtype=np.bytes_)
        self.labels = np.repeat(np.arange(len(found)), np.array([len(names) for names in found], dtype=np.int64))

    def groups(self, indices: Indices) -> Iterator[list[EncodedImage]]:
        for start in range(0, len(indices), _GROUP):
            yield [self.image(index) for index in indices[start : start + _GROUP]]

    def image(self, index: int) -> EncodedImage:
        path = self._root / os.fsdecode(self._names[index])
        return EncodedImage(str(path), path)

    def listing(self, indices: Indices) -> bytes:
        digest = hashlib.sha256(self.labels[indices].astype("<i8").tobytes())
        for name in self._names[indices]:
            digest.update(b"%s %d/" % (name, _size(self._root / os.fsdecode(name))))
        return digest.digest()


def _size(path: Path) -> int:
    """Return a file's bytes; -1 where there is none, as behind a broken link: that is a corrupt image."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


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


def _image_files(root: Path, folder: str) -> list[str]:
    """Return the images below a folder, relative to `root`, in the order of their names."""
    found = [
        os.path.join(parent, file)  # noqa: PTH118 - a path object for each of a million files takes half a minute
        for parent, _, files in os.walk(os.path.join(root, folder), followlinks=True)  # noqa: PTH118
        for file in files
        if os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES and not file.startswith(".")  # noqa: PTH122
    ]
    above = len(os.path.join(root, ""))  # noqa: PTH118
    return sorted(name[above:] for name in found)
