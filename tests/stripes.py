"""A data set that anyone can tell apart and a space of networks for it, small enough to train in moments."""

from pathlib import Path

import torch
from PIL import Image

from nas.data import ImageSet
from nas.space import Skeleton, StageChoices, StagewiseSpace

SIZE = 16
CLASS_NAMES = ("across", "down", "squares")
COMMON = ("--space", "tests.stripes:space", "--fidelity", "64x1", "--val-images", "30", "--device", "cpu")
"""Flags of a search of the space; it wants --data."""

space = StagewiseSpace(
    "stripes",
    tuple(StageChoices((1, 2), (8, 16), ("mbconv", "fused"), (1, 2), (3,)) for _ in range(2)),
    Skeleton(stem_channels=8, head_channels=32, strides=((1, 2, 2),), train_image_size=SIZE),
    references={
        "small": {
            **{"s1_block": "fused", "s1_expand_ratio": 1, "s1_num_layers": 1, "s1_out_channels": 8},
            **{"s1_kernel_size": 3, "s2_kernel_size": 3, "strides": "1-2-2"},
            **{"s2_block": "mbconv", "s2_expand_ratio": 2, "s2_num_layers": 1, "s2_out_channels": 16},
        }
    },
)


def striped(num_images: int, seed: int, *, num_classes: int = 2, in_order: bool = False) -> ImageSet:
    """Return stripes across, stripes down, or squares, under noise; classes take turns, or follow each other."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_images) % num_classes
    labels = labels.sort().values if in_order else labels
    lines = torch.arange(SIZE).div(4, rounding_mode="floor") % 2 * 120
    patterns = torch.stack(
        [lines[:, None].expand(SIZE, SIZE), lines[None, :].expand(SIZE, SIZE), lines[:, None] ^ lines[None, :]]
    )
    noise = torch.randint(0, 100, (num_images, 1, SIZE, SIZE), generator=generator)
    return ImageSet((patterns[labels][:, None] + noise).to(torch.uint8), labels)


def write_stripes(root: Path, num_images: int, seed: int = 0) -> Path:
    """Write an image folder with three classes of equal size."""
    data = striped(num_images, seed, num_classes=3)
    for index, (image, label) in enumerate(zip(data.images, data.labels.tolist(), strict=True)):
        folder = root / CLASS_NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / f"{index:04}.png")
    return root


def write_splits(root: Path, **counts: int) -> Path:
    """Write a folder with splits of so many images, each its own."""
    for split, num_images in counts.items():
        write_stripes(root / split, num_images, seed=num_images)
    return root
