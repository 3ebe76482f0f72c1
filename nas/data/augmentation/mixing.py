"""MixUp and CutMix: each image with another of its batch, and their labels alike."""

import math

import numpy as np
import torch
from torch import Tensor

from nas.data.augmentation.rectangles import around
from nas.errors import invalid


def mix(
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    generator: torch.Generator,
    *,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Mix each image with its partner, the image at its place from the other end of the batch.

    MixUp (Zhang et al. 2018) and CutMix (Yun et al. 2019) as in EfficientNetV2's released code. If both are on, the
    first half of the batch is mixed by MixUp and the second by CutMix, each with partners of its own half. For an image
    alone, and for one in the middle, the partner is itself.

    Args:
        images: Normalised floats (N, C, H, W), on any device.
        labels: Classes, int64 (N,), on the same device.
        num_classes: How many classes there are.
        generator: Source of the draws, on the CPU; it mixes alike on every device.
        mixup_alpha: Parameter of the Beta distribution of an image's own weight, which is at least one half: draws
            below it are taken from 1. 0 is off and draws nothing.
        cutmix_alpha: Parameter of the Beta distribution of an image's own share of its area, before the patch is cut
            off at the edges. 0 is off and draws nothing.

    Returns:
        The new images, of the same shape and type, and targets, float32 (N, num_classes), each row with a sum of 1:
        `torch.nn.CrossEntropyLoss` takes them, with label smoothing too.
    """
    if not images.is_floating_point() or images.ndim != 4:
        found = f"{images.dtype} {tuple(images.shape)}"
        raise invalid("images", "normalised floats (N, C, H, W)", found, "Mix after normalising.")
    for name, alpha in (("mixup_alpha", mixup_alpha), ("cutmix_alpha", cutmix_alpha)):
        if not (math.isfinite(alpha) and alpha >= 0):
            raise invalid(name, "a number of at least 0", alpha, "0 is off.")
    targets = torch.zeros((len(labels), num_classes), device=images.device).scatter_(1, labels[:, None], 1)
    if mixup_alpha and cutmix_alpha:
        half = len(images) // 2
        first = _mixup(images[:half], targets[:half], mixup_alpha, generator)
        second = _cutmix(images[half:], targets[half:], cutmix_alpha, generator)
        return torch.cat((first[0], second[0])), torch.cat((first[1], second[1]))
    if mixup_alpha:
        return _mixup(images, targets, mixup_alpha, generator)
    if cutmix_alpha:
        return _cutmix(images, targets, cutmix_alpha, generator)
    return images, targets


def _mixup(images: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    drawn = _draw_beta(alpha, len(images), generator)
    own = torch.maximum(drawn, 1 - drawn).float().to(images.device)
    mixed = torch.lerp(images.flip(0).float(), images.float(), own[:, None, None, None])
    return mixed.to(images.dtype), torch.lerp(targets.flip(0), targets, own[:, None])


def _cutmix(images: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Replace a patch by the partner's; targets go by the pixels that stay, which may be fewer than half."""
    num_images, _, height, width = images.shape
    side = (1 - _draw_beta(alpha, num_images, generator)).sqrt()
    row = torch.randint(height, (num_images,), generator=generator)
    column = torch.randint(width, (num_images,), generator=generator)
    patch = around(row, column, (side * height).long() // 2, (side * width).long() // 2).mask(height, width)
    own = (1 - patch.float().mean((1, 2, 3))).to(images.device)
    mixed = torch.where(patch.to(images.device), images.flip(0), images)
    return mixed, torch.lerp(targets.flip(0), targets, own[:, None])


def _draw_beta(alpha: float, num: int, generator: torch.Generator) -> Tensor:
    """Draw from Beta(alpha, alpha), float64 (num,), as exactly for a small alpha as for a large one.

    PyTorch's own takes no generator, so NumPy's is used, seeded by a draw of the generator.
    """
    seed = int(torch.randint(2**63 - 1, (1,), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, num))
