"""Encoded images one behind the other in a file, from which any of them can be read at once.

Parquet files are read a row group at a time, that is hundreds of images for one. For images in random order they are
copied out once, still encoded, to a file that takes about as much of the disk as they do.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.sampling import Indices
from nas.errors import DiskError, invalid


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Attributes:
    path: Of the file.
    starts: int64 (N + 1,), where each image begins, and where the last one ends.
    """

    path: Path
    starts: Indices

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> bytes:
        start, stop = self.starts[index : index + 2].tolist()
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), stop - start, start)


def open_packed(path: Path, num_images: int) -> PackedImages | None:
    """Return what `pack` wrote to a path; None where there is nothing, or it is not whole."""
    try:
        starts = np.load(_starts_path(path), allow_pickle=False)
        whole = len(starts) == num_images + 1 and path.stat().st_size == starts[-1]
    except (OSError, ValueError, EOFError):
        return None
    return PackedImages(path, starts) if whole else None


def pack(path: Path, images: Iterable[bytes], num_bytes: int) -> PackedImages:
    """Write images to a file, and where each begins to another; both are there in the end, or neither.

    Args:
        path: Of the file; folders above it are made.
        images: In order.
        num_bytes: That they take at most, or about.

    Raises:
        InvalidInputError: If the disk has not got so much room.
        DiskError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")  # Another process may be doing the same.
    lengths = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(path.parent).free) < num_bytes:
            todo = "Name a folder on another disk in NAS_DATA_DIR, or take --loader memory."
            rule = f"with {num_bytes / 2**30:.1f} GiB free, to copy images to that are then read in any order"
            raise invalid(f"the disk of {path.parent}", rule, f"{free / 2**30:.1f} GiB", todo)
        with partial.open("wb") as file:
            for image in images:
                file.write(image)
                lengths.append(len(image))
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        with (starts_partial := _starts_path(partial)).open("wb") as file:
            np.save(file, starts, allow_pickle=False)
        starts_partial.replace(_starts_path(path))
        partial.replace(path)
    except OSError as error:
        raise DiskError(f"Images cannot be copied to {path}: {error.strerror or error}.") from error
    finally:
        for left in (partial, _starts_path(partial)):
            left.unlink(missing_ok=True)
    return PackedImages(path, starts)


def _starts_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.starts.npy")
