"""Changes of colour, each image by a strength of its own.

Images are bytes (N, C, H, W), C 1 or 3; strengths are (N,), on any device. Nothing is drawn here. All sums are sums of
integers, so results are the same on every device, and the same as Pillow's.
"""

import torch
from torch import Tensor


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel so that its darkest value is 0 and its lightest 255: 255 (x - low) / (high - low).

    A channel of one value stays. `PIL.ImageOps.autocontrast`.
    """
    low, high = images.amin((2, 3), keepdim=True).int(), images.amax((2, 3), keepdim=True).int()
    stretched = (images.int() - low).mul_(255) // (high - low).clamp_(min=1)
    return torch.where(high > low, stretched.to(torch.uint8), images)


def equalize(images: Tensor) -> Tensor:
    """Spread the values of each channel so that equally many pixels have each, as far as can be.

    With n(v) pixels of value v and step = (pixels not of the greatest value) // 255, a value v becomes
    (n(0) + ... + n(v - 1) + step // 2) // step, 255 at most; where step is 0 the channel stays. `PIL.ImageOps.equalize`.
    """
    values = images.flatten(2).long()
    counts = torch.zeros((*images.shape[:2], 256), dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, values, torch.ones_like(values))
    num_greatest = counts.gather(2, values.amax(2, keepdim=True))
    step = (values.shape[2] - num_greatest) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255).to(torch.uint8)
    return torch.where(step[..., None] > 0, table.gather(2, values).view(images.shape), images)


def invert(images: Tensor) -> Tensor:
    """255 - x."""
    return 255 - images


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the `bits` highest bits of each value and clear the others; 8 keeps all. `PIL.ImageOps.posterize`."""
    cleared = 2 ** (8 - bits.to(torch.int64))
    return images & _column(256 - cleared, images, torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """255 - x where x is at least the threshold; 256 and more leave the image. `PIL.ImageOps.solarize`."""
    return torch.where(images < _column(threshold, images, torch.int16), images, 255 - images)


def solarize_add(images: Tensor, addition: Tensor) -> Tensor:
    """X + addition, 255 at most, where x is below 128; 0 leaves the image."""
    lighter = (images + _column(addition, images, torch.int16)).clamp_(0, 255).to(torch.uint8)
    return torch.where(images < 128, lighter, images)


def saturate(images: Tensor, factor: Tensor) -> Tensor:
    """Blend from the image in grey (0) to itself (1) and beyond; grey images stay. `PIL.ImageEnhance.Color`."""
    return images if images.shape[1] == 1 else _blend(_grey(images), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend from the mean of the image in grey (0) to the image (1) and beyond. `PIL.ImageEnhance.Contrast`.

    The released code of EfficientNetV2 means to do so, but divides the number of pixels by 256 for the mean.
    """
    num_pixels = images.shape[2] * images.shape[3]
    total = _grey(images).sum((2, 3), keepdim=True, dtype=torch.int64)
    mean = (2 * total + num_pixels) // (2 * num_pixels)
    return _blend(mean.int(), images, factor)


def brighten(images: Tensor, factor: Tensor) -> Tensor:
    """Blend from black (0) to the image (1) and beyond. `PIL.ImageEnhance.Brightness`."""
    return _blend(torch.zeros((), dtype=torch.int32, device=images.device), images, factor)


def sharpen(images: Tensor, factor: Tensor) -> Tensor:
    """Blend from the smoothed image (0) to the image (1) and beyond. `PIL.ImageEnhance.Sharpness`.

    Smoothed is the mean of the 3 x 3 pixels around each, its own counted five times, rounded; pixels at the edge stay.
    """
    values = images.to(torch.int16)
    smooth = values.clone()
    if min(images.shape[2:]) > 2:
        rows = values[..., :-2, :] + values[..., 1:-1, :] + values[..., 2:, :]
        around = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
        smooth[..., 1:-1, 1:-1] = (around + 4 * values[..., 1:-1, 1:-1] + 6) // 13
    return _blend(smooth, images, factor)


def _grey(images: Tensor) -> Tensor:
    """Return the luma of ITU-R 601, rounded: int32 (N, 1, H, W). Pillow's "L", whose weights are 1 / 65536ths."""
    values = images.int()
    if images.shape[1] == 1:
        return values
    red, green, blue = values.split(1, dim=1)
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


def _blend(start: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Start + factor (images - start), cut to bytes: fractions are dropped, and what is outside 0 to 255.

    Products and sums are rounded one by one, so that every device rounds alike.
    """
    return ((images - start) * _column(factor, images, torch.float32)).add_(start).clamp_(0, 255).to(torch.uint8)


def _column(strengths: Tensor, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return strengths as (N, 1, 1, 1) beside the images."""
    return strengths.to(images.device, dtype).view(-1, 1, 1, 1)
