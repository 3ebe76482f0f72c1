"""Moves of the pixels, each image by a strength of its own.

Images are bytes (N, C, H, W); strengths are (N,), on the CPU. Nothing is drawn here. A pixel takes the value of the
pixel that its centre comes from, and `FILL` if that is outside, as in EfficientNetV2's released code and in Pillow's
`Image.transform`. Places are computed in integers of 1 / 65536 pixel, so results are the same on every device.

Rotations, shears and translations are numbers, (N, 2, 3), which `move` applies: so all of a batch are one operation.
"""

import torch
from torch import Tensor
from torch.nn import functional

from nas.data.augmentation.rectangles import around

FILL = 128
_ONE = 1 << 16


def rotation(degrees: Tensor, height: int, width: int) -> Tensor:
    """Turn counter-clockwise about the middle of an image of this size."""
    cos, sin = degrees.double().deg2rad().cos(), degrees.double().deg2rad().sin()
    right, down = width / 2, height / 2
    column = (cos, -sin, right - cos * right + sin * down)
    row = (sin, cos, down - sin * right - cos * down)
    return torch.stack((*column, *row), dim=1).view(-1, 2, 3)


def shear_x(level: Tensor) -> Tensor:
    """Shift each row to the left by level times its distance from the top."""
    return _still_but(0, 1, level)


def shear_y(level: Tensor) -> Tensor:
    """Shift each column up by level times its distance from the left."""
    return _still_but(1, 0, level)


def translation_x(pixels: Tensor) -> Tensor:
    """Shift to the right."""
    return _still_but(0, 2, -pixels)


def translation_y(pixels: Tensor) -> Tensor:
    """Shift down."""
    return _still_but(1, 2, -pixels)


def _still_but(row: int, column: int, value: Tensor) -> Tensor:
    """Return (N, 2, 3) that leave images where they are but for one number."""
    moves = torch.zeros((len(value), 2, 3), dtype=torch.float64)
    moves[:, 0, 0] = moves[:, 1, 1] = 1
    moves[:, row, column] = value
    return moves


def move(images: Tensor, moves: Tensor) -> Tensor:
    """Move each image on its own.

    Args:
        images: uint8 (N, C, H, W), on any device.
        moves: (N, 2, 3), on the CPU: where a place (x, y) comes from is `move @ (x, y, 1)`, x to the right and y down.

    Returns:
        The new images, of the same shape and type.
    """
    height, width = images.shape[2:]
    corner = moves[:, :, 2] + moves[:, :, :2].sum(2) / 2  # Where the centre of the first pixel comes from.
    fixed = (torch.stack((moves[:, :, 0], moves[:, :, 1], corner)) * _ONE + 0.5).floor().int().to(images.device)
    by_column, by_row, start = fixed[..., None, None]
    columns = torch.arange(width, dtype=torch.int32, device=images.device)
    rows = torch.arange(height, dtype=torch.int32, device=images.device)[:, None]
    column, row = ((by_column * columns + (by_row * rows + start)) >> 16).unbind(1)
    around_it = functional.pad(images, (1, 1, 1, 1), value=FILL)
    pixels = (row.clamp_(-1, height) + 1) * (width + 2) + (column.clamp_(-1, width) + 1)
    index = pixels.flatten(1).long()[:, None].expand(-1, images.shape[1], -1)
    return around_it.flatten(2).gather(2, index).view(images.shape)


def cutout(images: Tensor, half_width: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Fill a square around (row, column), `half_width` pixels to each side, as far as it is in the image.

    DeVries & Taylor 2017. All three are int64 (N,), on the CPU.
    """
    hole = around(row, column, half_width, half_width).mask(*images.shape[2:])
    return images.masked_fill(hole.to(images.device), FILL)
