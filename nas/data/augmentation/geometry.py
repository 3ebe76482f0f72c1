"""Moves of the pixels, each image by a strength of its own.

Images are bytes (N, C, H, W); strengths are (N,), on the CPU. Nothing is drawn here. A pixel takes the value of the
pixel that its centre comes from, and `FILL` if that is outside, as in EfficientNetV2's released code and in Pillow's
`Image.transform`. Places are computed in integers of 1 / 65536 pixel, so results are the same on every device.
"""

import torch
from torch import Tensor

from nas.data.augmentation.rectangles import around

FILL = 128
_ONE = 1 << 16


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn each image counter-clockwise about its middle."""
    height, width = images.shape[2:]
    radians = degrees.double().deg2rad()
    cos, sin = radians.cos(), radians.sin()
    right, down = width / 2, height / 2
    return _move(images, (cos, -sin, right - cos * right + sin * down), (sin, cos, down - sin * right - cos * down))


def shear_x(images: Tensor, level: Tensor) -> Tensor:
    """Shift row y to the left by level * y pixels."""
    one, zero = _one_and_zero(level)
    return _move(images, (one, level.double(), zero), (zero, one, zero))


def shear_y(images: Tensor, level: Tensor) -> Tensor:
    """Shift column x up by level * x pixels."""
    one, zero = _one_and_zero(level)
    return _move(images, (one, zero, zero), (level.double(), one, zero))


def translate_x(images: Tensor, pixels: Tensor) -> Tensor:
    """Shift each image to the right."""
    one, zero = _one_and_zero(pixels)
    return _move(images, (one, zero, -pixels.double()), (zero, one, zero))


def translate_y(images: Tensor, pixels: Tensor) -> Tensor:
    """Shift each image down."""
    one, zero = _one_and_zero(pixels)
    return _move(images, (one, zero, zero), (zero, one, -pixels.double()))


def cutout(images: Tensor, half_width: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Fill a square around (row, column), `half_width` pixels to each side, as far as it is in the image.

    DeVries & Taylor 2017. All three are int64 (N,), on the CPU.
    """
    hole = around(row, column, half_width, half_width).mask(*images.shape[2:])
    return images.masked_fill(hole.to(images.device), FILL)


def _one_and_zero(like: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ones_like(like, dtype=torch.float64), torch.zeros_like(like, dtype=torch.float64)


def _move(images: Tensor, to_column: tuple[Tensor, Tensor, Tensor], to_row: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Fetch pixel (x, y) from column a x + b y + c and row d x + e y + f, where (a, b, c) and (d, e, f) are (N,)."""
    height, width = images.shape[2:]
    column, row = _source(to_column, height, width, images.device), _source(to_row, height, width, images.device)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixels = (row * width + column).mul_(inside).flatten(1).long()
    moved = images.flatten(2).gather(2, pixels[:, None].expand(-1, images.shape[1], -1)).view(images.shape)
    return moved.masked_fill_(~inside[:, None], FILL)


def _source(line: tuple[Tensor, Tensor, Tensor], height: int, width: int, device: torch.device) -> Tensor:
    """Return the whole part of a x + b y + c at the centres of the pixels, int32 (N, H, W)."""
    by_column, by_row, start = line
    exact = torch.stack((by_column, by_row, start + (by_column + by_row) / 2))
    fixed = (exact * _ONE + 0.5).floor().int().to(device)[..., None, None]
    columns = torch.arange(width, dtype=torch.int32, device=device)
    rows = torch.arange(height, dtype=torch.int32, device=device)[:, None]
    return (fixed[0] * columns + (fixed[1] * rows + fixed[2])) >> 16
