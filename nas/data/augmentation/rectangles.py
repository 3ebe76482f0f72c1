"""Rectangles drawn within images, one an image: crops, holes, patches."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_NUM_TRIES = 10


class Rectangles(NamedTuple):
    """Rows from `top` to below `bottom` and columns from `left` to below `right`, each int64 (N,) on the CPU."""

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor

    def mask(self, height: int, width: int) -> Tensor:
        """Return bool (N, 1, height, width) on the CPU, true inside; what lies outside the image is cut off."""
        rows, columns = torch.arange(height), torch.arange(width)
        in_row = (rows >= self.top[:, None]) & (rows < self.bottom[:, None])
        in_column = (columns >= self.left[:, None]) & (columns < self.right[:, None])
        return (in_row[:, :, None] & in_column[:, None, :])[:, None]


def around(row: Tensor, column: Tensor, half_height: Tensor, half_width: Tensor) -> Rectangles:
    """Return the rectangles that reach as far up as down and as far left as right; they may leave the image."""
    return Rectangles(row - half_height, row + half_height, column - half_width, column + half_width)


def draw_rectangles(
    num_images: int,
    height: int,
    width: int,
    generator: torch.Generator,
    *,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> Rectangles:
    """Draw a rectangle within each image, anywhere where it fits.

    Area and ratio are drawn until the rectangle fits, ten times at most; the last is shrunk to fit.

    Args:
        num_images: How many to draw.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        generator: Source of the draws, on the CPU.
        area: Least and greatest share of the image's area, evenly drawn.
        ratio: Least and greatest width over height; its logarithm is evenly drawn.

    Returns:
        Rectangles with sides of one pixel at least, inside the images.
    """
    draws = torch.rand((2, _NUM_TRIES, num_images), generator=generator, dtype=torch.float64)
    shape = (math.log(ratio[0]) + draws[1] * math.log(ratio[1] / ratio[0])).exp()
    pixels = height * width * (area[0] + draws[0] * (area[1] - area[0]))
    widths, heights = (pixels * shape).sqrt(), (pixels / shape).sqrt()
    fits = (widths.round() <= width) & (heights.round() <= height)
    fits[-1] = True
    first = fits.byte().argmax(0, keepdim=True)
    chosen_width, chosen_height = widths.gather(0, first)[0], heights.gather(0, first)[0]
    shrink = torch.minimum(width / chosen_width, height / chosen_height).clamp(max=1)
    box_width = (chosen_width * shrink).round().clamp(1, width)
    box_height = (chosen_height * shrink).round().clamp(1, height)
    place = torch.rand((2, num_images), generator=generator, dtype=torch.float64)
    top = (place[0] * (height - box_height + 1)).long()
    left = (place[1] * (width - box_width + 1)).long()
    return Rectangles(top, top + box_height.long(), left, left + box_width.long())
