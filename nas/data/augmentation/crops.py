"""Crops of random size and shape, resized to one size."""

import torch
from torch import Tensor

from nas.data.augmentation.rectangles import draw_rectangles
from nas.errors import invalid


def random_resized_crop(
    images: Tensor,
    size: int,
    generator: torch.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Cut a random rectangle out of each image and resize it to a square.

    Inception's crop (Szegedy et al. 2015, section 6). EfficientNetV2's released code draws areas from 0.05 on. Resizing
    is bilinear, with a triangle as wide as a pixel of the result where it shrinks (Pillow's BILINEAR), and sees nothing
    outside the rectangle. It is two products with matrices of weights, one for rows and one for columns of each image,
    so that a batch of different crops is resized at once.

    Args:
        images: (N, C, H, W), bytes or floats from 0 to 255, on any device.
        size: Pixels a side of the result.
        generator: Source of the draws, on the CPU; rectangles are the same on every device, and values within 1.
        scale: Least and greatest area of a rectangle, as shares of the image's.
        ratio: Least and greatest width over height of a rectangle.

    Returns:
        uint8 (N, C, size, size).
    """
    if size < 1:
        raise invalid("size", "at least 1", size, "Give pixels a side.")
    if not 0 < scale[0] <= scale[1] <= 1:
        raise invalid("scale", "two shares of the area, 0 < least <= greatest <= 1", scale, "Try (0.08, 1).")
    if not 0 < ratio[0] <= ratio[1]:
        raise invalid("ratio", "two ratios, 0 < least <= greatest", ratio, "Try (3 / 4, 4 / 3).")
    height, width = images.shape[2:]
    crops = draw_rectangles(len(images), height, width, generator, area=scale, ratio=ratio)
    rows = _weights(crops.top, crops.bottom, size, height, images.device)
    columns = _weights(crops.left, crops.right, size, width, images.device)
    narrow = torch.einsum("nchw,nvw->nchv", images.float(), columns)
    resized = torch.einsum("nchv,nuh->ncuv", narrow, rows)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def _weights(start: Tensor, end: Tensor, size: int, length: int, device: torch.device) -> Tensor:
    """Return what each of `length` pixels gives to each of `size` that cover `start` to `end`: (N, size, length)."""
    start, end = start.to(device)[:, None, None], end.to(device)[:, None, None]
    step = (end - start).float() / size
    centre = start + (torch.arange(size, device=device)[:, None] + 0.5) * step
    pixel = torch.arange(length, device=device)
    weights = (1 - (pixel + 0.5 - centre).abs() / step.clamp(min=1)).clamp_(min=0)
    weights = weights.mul_((pixel >= start) & (pixel < end))
    return weights.div_(weights.sum(2, keepdim=True))
