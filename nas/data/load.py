"""Data sets by name."""

import hashlib

import torch

from nas.data.dataset import Dataset, ImageSet
from nas.data.fashion import CLASS_NAMES, fashion_hard
from nas.data.rendering import Rendering
from nas.data.sampling import split_stratified

DATASET_NAMES = ("fashion-hard",)


def load_dataset(
    name_or_path: str,
    *,
    image_size: int | None = None,
    val_images: int | None = None,
    seed: int = 0,
    download: bool = True,
    rendering: Rendering | None = None,
) -> Dataset:
    images, labels, digest = fashion_hard("train", rendering)
    train, val = split_stratified(labels, val_images or min(8000, len(labels) // 3), seed)
    fingerprint = hashlib.sha256(digest.encode() + train.tobytes() + b"/" + val.tobytes()).hexdigest()[:16]
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    return Dataset(name_or_path, ImageSet(x[train], y[train]), ImageSet(x[val], y[val]), CLASS_NAMES, fingerprint, 0)


def load_test(name_or_path: str, *, image_size: int | None = None, download: bool = True) -> ImageSet | None:
    images, labels, _ = fashion_hard("test")
    return ImageSet(torch.from_numpy(images), torch.from_numpy(labels))
