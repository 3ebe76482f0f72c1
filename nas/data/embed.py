"""Write the embedded images: `python -m nas.data.embed SOURCE_DIR`.

SOURCE_DIR holds Fashion-MNIST's four IDX files, for example from the Debian package dataset-fashion-mnist. From its
training images come the first 2,400 of each class, and the next 50 of each as clutter that is in no split; from its
test images the first 600 of each class. Their order is kept. The arrays are .npy files inside .xz.
"""

import gzip
import io
import lzma
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

EMBEDDED_DIR = Path(__file__).parent / "embedded"
TRAIN_PER_CLASS = 2400
CLUTTER_PER_CLASS = 50
TEST_PER_CLASS = 600

Bytes = npt.NDArray[np.uint8]


def read_idx(path: Path) -> Bytes:
    """Read a gzipped IDX file of bytes: a magic number that ends in the rank, the big-endian shape, the values."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", count=rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape.astype(int))


def rank_in_class(labels: Bytes) -> npt.NDArray[np.int64]:
    """Return for each label how many equal labels come before it."""
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    return rank


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    plain = io.BytesIO()
    np.save(plain, array, allow_pickle=False)
    path.write_bytes(lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def read_array(packed: bytes) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(io.BytesIO(lzma.decompress(packed)), allow_pickle=False)
    return array


def main(source: Path, target: Path = EMBEDDED_DIR) -> None:
    images = read_idx(source / "train-images-idx3-ubyte.gz")
    labels = read_idx(source / "train-labels-idx1-ubyte.gz")
    rank = rank_in_class(labels)
    train = rank < TRAIN_PER_CLASS
    clutter = (rank >= TRAIN_PER_CLASS) & (rank < TRAIN_PER_CLASS + CLUTTER_PER_CLASS)
    write_array(target / "train_images.npy.xz", images[train])
    write_array(target / "train_labels.npy.xz", labels[train])
    write_array(target / "clutter_images.npy.xz", images[clutter])

    images = read_idx(source / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(source / "t10k-labels-idx1-ubyte.gz")
    test = rank_in_class(labels) < TEST_PER_CLASS
    write_array(target / "test_images.npy.xz", images[test])
    write_array(target / "test_labels.npy.xz", labels[test])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m nas.data.embed SOURCE_DIR")
    main(Path(sys.argv[1]))
