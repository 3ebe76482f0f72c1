"""Hugging Face image data sets: parquet files with encoded images and integer labels."""

import hashlib
import itertools
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nas.data.encoded import EncodedImage, EncodedSplit
from nas.data.fashion import data_dir
from nas.data.packed import PackedImages, open_packed, pack
from nas.data.sampling import Indices
from nas.data.sources import Labels, Source
from nas.errors import InvalidInputError, invalid

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMN = "label"
_GROUP = 256

_log = logging.getLogger(__name__)


class ParquetSplit(EncodedSplit):
    """The rows of some parquet files, in the order of the files' names; images are read one row group at a time.

    Fetched one by one they come out of a copy in the folder of data sets (`nas.data.packed`).

    Args:
        paths: The files.
        labelled: Whether there are labels to read; else all are 0.

    Raises:
        InvalidInputError: If a file is not parquet, lacks a column, or has labels that are not integers from 0.
    """

    def __init__(self, paths: list[Path], *, labelled: bool = True) -> None:
        self.paths = paths
        found = [(_read_labels if labelled else _no_labels)(path) for path in paths]
        self.labels = np.concatenate(found)
        self._ends = np.cumsum([len(labels) for labels in found])
        self._packed: PackedImages | None = None

    def image(self, index: int) -> EncodedImage:
        assert self._packed is not None, "prepared to be fetched"
        return EncodedImage(self.name(index), self._packed[index])

    def name(self, index: int) -> str:
        file = int(np.searchsorted(self._ends, index, side="right"))
        return f"row {index - (self._ends[file - 1] if file else 0)} of {self.paths[file].name}"

    def listing(self, indices: Indices) -> bytes:
        about = [(path.name, path.stat().st_size) for path in self.paths]
        digest = hashlib.sha256(json.dumps(about).encode() + indices.astype("<i8").tobytes())
        digest.update(self.labels[indices].astype("<i8").tobytes())
        return digest.digest()

    def prepare_to_fetch(self) -> None:
        about = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in self.paths]
        key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        path = data_dir() / "unpacked" / key
        self._packed = open_packed(path, len(self))
        if self._packed is None:
            num_bytes = sum(size for _, size, _ in about)
            words = "copying %.1f GiB of encoded images out of %d parquet files to %s, this once"
            _log.warning(words, num_bytes / 2**30, len(about), path)
            everything = itertools.chain.from_iterable(self.groups(np.arange(len(self))))
            self._packed = pack(path, (image.read() for image in everything), num_bytes)

    def groups(self, indices: Indices) -> Iterator[list[EncodedImage]]:
        if self._packed is not None:
            for first in range(0, len(indices), _GROUP):
                yield [self.image(index) for index in indices[first : first + _GROUP]]
            return
        start = 0
        for path in self.paths:
            first_of_file = start
            with _open(path) as file:
                column = _image_column(path, file.schema_arrow)
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    first, last = np.searchsorted(indices, (start, stop))
                    if first < last:
                        rows = indices[first:last] - start
                        values = file.read_row_group(group, columns=[column]).column(column).take(pa.array(rows))
                        yield [
                            EncodedImage(f"row {index} of {path.name}", _content(value))
                            for index, value in zip(
                                indices[first:last] - first_of_file, values.to_pylist(), strict=True
                            )
                        ]
                    start = stop


def read_parquet(path: Path, *, with_test: bool) -> Source:
    """Read a parquet file, or a folder of them.

    In a folder, names that start with train, validation (or val) and test give the splits; where none starts with
    train, all others are for training. Class names come from the schema's `huggingface` metadata, else they are the
    labels themselves.

    Raises:
        InvalidInputError: If there is nothing to train on, or a label has no name.
    """
    files = _find_splits(path)
    train = ParquetSplit(files["train"])
    val = ParquetSplit(files["val"]) if files["val"] else None
    test = ParquetSplit(files["test"]) if files["test"] and with_test else None
    names = _class_names(files["train"][0])
    if names is None:
        highest = _highest(train, val)
        if highest >= len(train.labels):  # Before a list of names is made that fits into no memory.
            todo = "Number the classes from 0 without gaps, or name them in the schema's metadata."
            raise invalid("labels without names", f"below {len(train.labels)}, the number of images", highest, todo)
        names = tuple(str(label) for label in range(highest + 1))
    if (highest := _highest(train, val, test)) >= len(names):
        todo = "Correct the labels, or the class names in the schema's metadata."
        raise invalid("labels", f"below {len(names)}, the number of classes", highest, todo)
    return Source(names, train, val, test)


def read_parquet_images(path: Path, *, with_test: bool) -> Source:
    """Read images alone, in the same splits; raise InvalidInputError if there is none to train on."""
    files = _find_splits(path)
    train, val, test = (ParquetSplit(found, labelled=False) if found else None for found in files.values())
    if not train:
        raise invalid("data", "parquet files with images", str(path), "There is no row in them.")
    return Source(("image",), train, val or None, test if test and with_test else None)


def _highest(*splits: ParquetSplit | None) -> int:
    return max(int(split.labels.max(initial=-1)) for split in splits if split is not None)


def _find_splits(path: Path) -> dict[str, list[Path]]:
    if not path.is_dir():
        return {"train": [path], "val": [], "test": []}
    files = sorted(path.rglob("*.parquet"), key=lambda file: file.relative_to(path).as_posix())
    splits = {
        split: [file for file in files if file.name.lower().startswith(prefix)]
        for split, prefix in (("train", "train"), ("val", "val"), ("test", "test"))
    }
    splits["train"] = splits["train"] or [file for file in files if file not in splits["val"] + splits["test"]]
    if not splits["train"]:
        todo = "Name its files train-*.parquet, validation-*.parquet and test-*.parquet."
        raise invalid("data", "a folder with a training split", str(path), todo)
    return splits


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a parquet file, and say of a failure to read it in which file it was."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except InvalidInputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are no UTF-8, missing rows.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise invalid("data", "readable parquet files", str(path), f"Replace the file: {reason}.") from error


def _image_column(path: Path, schema: pa.Schema) -> str:
    """Return the name of the column that holds encoded images, as bytes or as a struct with bytes."""
    for name in IMAGE_COLUMNS:
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
                kind = kind.field("bytes").type
            if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                return name
    todo = "Each image must be bytes, or a struct with `bytes`."
    raise invalid(f"columns of {path.name}", f"among others {' or '.join(IMAGE_COLUMNS)}", schema.names, todo)


def _read_labels(path: Path) -> Labels:
    with _open(path) as file:
        schema = file.schema_arrow
        _image_column(path, schema)
        name = f"{LABEL_COLUMN} of {path.name}"
        if LABEL_COLUMN not in schema.names:
            raise invalid(f"columns of {path.name}", f"among others {LABEL_COLUMN}", schema.names, "Rename the column.")
        if not pa.types.is_integer(schema.field(LABEL_COLUMN).type):
            raise invalid(name, "integers", str(schema.field(LABEL_COLUMN).type), "Number the classes from 0.")
        column = file.read(columns=[LABEL_COLUMN]).column(0)
    if column.null_count:
        raise invalid(name, "known for every row", f"{column.null_count} nulls", "Remove the rows without a label.")
    labels: Labels = column.to_numpy().astype(np.int64)
    if len(labels) and labels.min() < 0:
        raise invalid(name, "0 or more", int(labels.min()), "Number the classes from 0, and leave out unlabelled rows.")
    return labels


def _no_labels(path: Path) -> Labels:
    with _open(path) as file:
        _image_column(path, file.schema_arrow)
        return np.zeros(file.metadata.num_rows, dtype=np.int64)


def _class_names(path: Path) -> tuple[str, ...] | None:
    """Return the label's names from the schema's `huggingface` metadata, or None where it has none."""
    with _open(path) as file:
        metadata = file.schema_arrow.metadata or {}
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][LABEL_COLUMN]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return tuple(str(name) for name in names) if isinstance(names, list) and names else None


def _content(value: Any) -> bytes:
    """Return an image's bytes; none where the row has only a path, which then counts as a corrupt image."""
    return (value.get("bytes") if isinstance(value, dict) else value) or b""
