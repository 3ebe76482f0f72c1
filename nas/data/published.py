"""Published data sets through torchvision: taken from a local folder, else downloaded."""

import hashlib
from pathlib import Path

import numpy as np

from nas.data.fashion import data_dir
from nas.data.sources import ArraySplit, Source
from nas.errors import InvalidInputError

# torchvision reads CIFAR from pickles. It checks the archive's known checksum before it opens them, and nothing else
# here ever reads a pickle. Fashion-MNIST's files are plain arrays.
_READERS = {"fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
PUBLISHED_NAMES = tuple(_READERS)


def read_published(name: str, *, with_test: bool, download: bool) -> Source:
    """Read one of `PUBLISHED_NAMES`.

    Raises:
        InvalidInputError: If it is not in the local folder and cannot be, or must not be, downloaded.
    """
    train, class_names = _read(name, train=True, download=download)
    test = _read(name, train=False, download=download)[0] if with_test else None
    return Source(class_names, train, test=test)


def _read(name: str, *, train: bool, download: bool) -> tuple[ArraySplit, tuple[str, ...]]:
    from torchvision import datasets  # It takes as long to import as torch, and most data are not here.

    root = data_dir()
    reader = getattr(datasets, _READERS[name])
    try:
        found = reader(root, train=train, download=False)
    except (RuntimeError, OSError):
        if not download:
            raise InvalidInputError(_missing(name, root, "downloading is off")) from None
        try:
            found = reader(root, train=train, download=True)
        except (RuntimeError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InvalidInputError(_missing(name, root, f"the download failed: {reason}")) from error
    images = np.asarray(found.data)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    labels = np.asarray(found.targets, dtype=np.int64)
    digest = hashlib.sha256(images.tobytes())
    digest.update(labels.astype("<i8").tobytes())
    return ArraySplit(images, labels, digest.digest()), tuple(found.classes)


def _missing(name: str, root: Path, reason: str) -> str:
    return (
        f"`data` {name} must be in {root}, and {reason}. Put torchvision's files there, name another folder in "
        f"NAS_DATA_DIR, or use the embedded fashion-hard."
    )
