"""Changes of colour, each image by a strength of its own.

Images are bytes (N, C, H, W), C 1 or 3; strengths are (N,), on any device. Nothing is drawn here. Most changes turn a
value into another wherever it is: they are tables, uint8 (N, C or 1, 256), which `look_up` applies, so that all of a
batch are one operation. Sums are sums of integers, so results are the same on every device, and Pillow's, but for
`autocontrast` where Pillow's product of floats falls just short of a whole number.
"""

import torch
from torch import Tensor


def look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Replace each value by what its image's (and channel's) table holds for it."""
    tables = tables.expand(-1, images.shape[1], -1)
    return tables.gather(2, images.flatten(2).long()).view(images.shape)


def autocontrast(images: Tensor) -> Tensor:
    """Table that makes a channel's darkest value 0 and its lightest 255: 255 (x - low) / (high - low).

    A channel of one value stays. `PIL.ImageOps.autocontrast`.
    """
    low = images.amin((2, 3)).int()[..., None]
    high = images.amax((2, 3)).int()[..., None]
    same = _same(images)
    stretched = ((same - low) * 255 // (high - low).clamp(min=1)).clamp_(0, 255)
    return torch.where(high > low, stretched, same).to(torch.uint8)


def equalize(images: Tensor) -> Tensor:
    """Table that spreads the values of a channel so that equally many pixels have each, as far as can be.

    With n(v) pixels of value v and step = (pixels not of the greatest value) // 255, a value v becomes
    (n(0) + ... + n(v - 1) + step // 2) // step, 255 at most. If step is 0 the channel stays. `PIL.ImageOps.equalize`.
    """
    values = images.flatten(2).long()
    counts = torch.zeros((*images.shape[:2], 256), dtype=torch.int32, device=images.device)
    counts.scatter_add_(2, values, torch.ones_like(values, dtype=torch.int32))
    num_greatest = counts.gather(2, values.amax(2, keepdim=True))
    step = (values.shape[2] - num_greatest) // 255
    below = counts.cumsum(2) - counts
    spread = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    return torch.where(step > 0, spread, _same(images)).to(torch.uint8)


def invert(images: Tensor) -> Tensor:
    """Table of 255 - x."""
    return (255 - _same(images)).to(torch.uint8).expand(len(images), 1, 256)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Table that keeps the `bits` highest bits of each value and clears the others. `PIL.ImageOps.posterize`."""
    step = 2 ** (8 - _row(bits, images, torch.int32))
    same = _same(images)
    return (same - same % step).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Table of 255 - x where x is at least the threshold, as no value is from 256 on. `PIL.ImageOps.solarize`."""
    same = _same(images)
    return torch.where(same < _row(threshold, images, torch.int32), same, 255 - same).to(torch.uint8)


def solarize_add(images: Tensor, addition: Tensor) -> Tensor:
    """Table of x + addition, 255 at most, where x is below 128."""
    same = _same(images)
    lighter = (same + _row(addition, images, torch.int32)).clamp_(0, 255)
    return torch.where(same < 128, lighter, same).to(torch.uint8)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Table that blends from the mean of the image in grey (0) to the image (1) and beyond.

    `PIL.ImageEnhance.Contrast`. The released code means to do so, but takes the number of pixels over 256 for the mean.
    """
    num_pixels = images.shape[2] * images.shape[3]
    total = _grey(images).sum((1, 2, 3), dtype=torch.int64)
    mean = (2 * total + num_pixels) // (2 * num_pixels)
    return _blend(mean.view(-1, 1, 1).float(), _same(images), _row(factor, images, torch.float32))


def brighten(images: Tensor, factor: Tensor) -> Tensor:
    """Table that blends from black (0) to the image (1) and beyond. `PIL.ImageEnhance.Brightness`."""
    return _blend(0.0, _same(images), _row(factor, images, torch.float32))


def saturate(images: Tensor, factor: Tensor) -> Tensor:
    """Blend from the image in grey (0) to itself (1) and beyond. `PIL.ImageEnhance.Color`.

    Images of one channel are grey: they stay.
    """
    return images if images.shape[1] == 1 else _blend(_grey(images), images, _pixels(factor, images))


def sharpen(images: Tensor, factor: Tensor) -> Tensor:
    """Blend from the smoothed image (0) to the image (1) and beyond. `PIL.ImageEnhance.Sharpness`.

    Smoothed is the mean of the 3 x 3 pixels around each, its own counted five times, rounded; pixels at the edge stay.
    """
    values = images.float()
    smooth = values.clone()
    if min(images.shape[2:]) > 2:
        rows = values[..., :-2, :] + values[..., 1:-1, :] + values[..., 2:, :]
        around = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
        smooth[..., 1:-1, 1:-1] = ((around + 4 * values[..., 1:-1, 1:-1] + 6.5) / 13).floor()
    return _blend(smooth, values, _pixels(factor, images))


def _grey(images: Tensor) -> Tensor:
    """Return the luma of ITU-R 601, rounded: int32 (N, 1, H, W). Pillow's "L", whose weights are 1 / 65536ths."""
    values = images.int()
    if images.shape[1] == 1:
        return values
    red, green, blue = values.unbind(1)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16)[:, None]


def _blend(start: Tensor | float, end: Tensor, factor: Tensor) -> Tensor:
    """Start + factor (end - start), cut to bytes: fractions are dropped, and what is outside 0 to 255.

    Products and sums are rounded one by one, so that every device rounds alike. By way of int16 it is faster.
    """
    return ((end - start) * factor).add_(start).clamp_(0, 255).to(torch.int16).to(torch.uint8)


def _same(images: Tensor) -> Tensor:
    """Return the table that leaves all values, int32 (256,)."""
    return torch.arange(256, dtype=torch.int32, device=images.device)


def _row(strengths: Tensor, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return strengths as (N, 1, 1), beside tables."""
    return strengths.to(images.device, dtype).view(-1, 1, 1)


def _pixels(factor: Tensor, images: Tensor) -> Tensor:
    """Return factors as float32 (N, 1, 1, 1), beside images."""
    return factor.to(images.device, torch.float32).view(-1, 1, 1, 1)
