"""Published data sets in a local folder, and the tool that makes the embedded one from the same files."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data import embed, load_dataset, load_test


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx_files(folder: Path, *, packed: bool) -> dict[str, np.ndarray]:
    """Write 60 training and 30 test images under Fashion-MNIST's file names."""
    folder.mkdir(parents=True)
    arrays = {}
    for prefix, number in (("train", 60), ("t10k", 30)):
        rng = np.random.default_rng(number)
        arrays[f"{prefix}-images-idx3-ubyte"] = rng.integers(0, 256, (number, 28, 28), dtype=np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = np.arange(number, dtype=np.uint8) % 10
    for name, array in arrays.items():
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return arrays


def test_fashion_mnist_from_the_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = write_idx_files(tmp_path / "FashionMNIST" / "raw", packed=False)
    monkeypatch.setenv("NAS_DATA_DIR", str(tmp_path))
    data = load_dataset("fashion-mnist", download=False)
    assert (len(data.train), len(data.val), data.in_channels, data.image_size) == (40, 20, 1, 28)
    assert data.class_names[0] == "T-shirt/top"
    both = torch.cat([data.train.images, data.val.images]).numpy()[:, 0]
    assert sorted(map(bytes, both)) == sorted(map(bytes, arrays["train-images-idx3-ubyte"]))
    test = load_test("fashion-mnist", download=False)
    assert test is not None
    assert np.array_equal(test.images[:, 0].numpy(), arrays["t10k-images-idx3-ubyte"])


def test_embedding_takes_the_first_of_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = write_idx_files(tmp_path / "source", packed=True)
    for name, number in (("TRAIN_PER_CLASS", 4), ("CLUTTER_PER_CLASS", 1), ("TEST_PER_CLASS", 2)):
        monkeypatch.setattr(embed, name, number)
    embed.main(tmp_path / "source", tmp_path)
    images = arrays["train-images-idx3-ubyte"]
    for name, expected in (("train", images[:40]), ("clutter", images[40:50])):
        assert np.array_equal(embed.read_array((tmp_path / f"{name}_images.npy.xz").read_bytes()), expected)
    labels = embed.read_array((tmp_path / "test_labels.npy.xz").read_bytes())
    assert np.array_equal(labels, np.arange(20) % 10)
