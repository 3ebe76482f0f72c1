"""RandAugment on a batch: every image gets operations of its own."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nas.data.augmentation import colour, geometry
from nas.errors import invalid


class Draws(NamedTuple):
    """What was drawn for each image of a group, on the CPU.

    Attributes:
        level: The magnitude in tens, float64 (N,); the same for all.
        sign: -1 or 1, float64 (N,).
        place: A row and a column as shares of the image's sides, below 1, float64 (N, 2).
    """

    level: Tensor
    sign: Tensor
    place: Tensor


def rand_augment(images: Tensor, magnitude: float, generator: torch.Generator, num_layers: int = 2) -> Tensor:
    """Change each image by operations drawn evenly from `OPERATIONS`, one a layer.

    RandAugment (Cubuk et al. 2020) as in EfficientNetV2's released code: 16 operations, always applied, strengths in
    proportion to the magnitude without an upper limit, their signs drawn. More is not stronger for all: posterize and
    solarize fade out. Nor is 0 nothing: it blends to nearly black, grey or smooth. Published recipes begin at 5.

    Shifts and holes are in pixels there, of images of about 300 pixels a side; here they are in proportion to the side.
    Operations of colour alone leave grey images as they are ("color").

    Args:
        images: uint8 (N, C, H, W), C 1 or 3, on any device.
        magnitude: At least 0; 10 is what the literature's scale ends with, larger ones go on.
        generator: Source of the draws, on the CPU; it gives the same batch on every device.
        num_layers: Operations an image, in turn.

    Returns:
        The new images, of the same shape and type.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        found = f"{images.dtype} {tuple(images.shape)}"
        raise invalid("images", "bytes (N, C, H, W), C 1 or 3", found, "Augment before normalising.")
    if not (math.isfinite(magnitude) and magnitude >= 0):
        raise invalid("magnitude", "a number of at least 0", magnitude, "EfficientNetV2 uses 5 to 25.")
    if num_layers < 1:
        raise invalid("num_layers", "at least 1", num_layers, "EfficientNetV2 uses 2.")
    for _ in range(num_layers if len(images) else 0):
        images = _augment_once(images, magnitude, generator)
    return images


def _augment_once(images: Tensor, magnitude: float, generator: torch.Generator) -> Tensor:
    """Apply one operation to each image: all moves together, all tables together, the others group by group."""
    choice, draws = _draw(len(images), magnitude, generator)
    order = choice.argsort(stable=True)
    sizes = choice.bincount(minlength=len(OPERATIONS)).tolist()
    images = images.index_select(0, order.to(images.device))
    drawn = (Draws(*group) for group in zip(*(torch.split(values[order], sizes) for values in draws), strict=True))
    groups = dict(zip(OPERATIONS, zip(torch.split(images, sizes), drawn, strict=True), strict=True))

    moves = torch.cat([make(*groups[name]) for name, make in MOVES.items()])
    tables = torch.cat([make(*groups[name]).expand(-1, images.shape[1], -1) for name, make in TABLES.items()])
    changed = [
        geometry.move(images[: len(moves)], moves),
        colour.look_up(images[len(moves) : len(moves) + len(tables)], tables),
        *(change(*groups[name]) for name, change in OTHERS.items()),
    ]
    return torch.cat(changed).index_select(0, order.argsort().to(images.device))


def _draw(num_images: int, magnitude: float, generator: torch.Generator) -> tuple[Tensor, Draws]:
    """Return the index of an operation for each image, int64 (N,), and what else may be needed for it."""
    choice = torch.randint(len(OPERATIONS), (num_images,), generator=generator)
    sign = torch.randint(2, (num_images,), generator=generator).double() * 2 - 1
    place = torch.rand((num_images, 2), generator=generator, dtype=torch.float64)
    return choice, Draws(torch.full_like(sign, magnitude / 10), sign, place)


def _blend_factor(draws: Draws) -> Tensor:
    return 1.8 * draws.level + 0.1


def _bits(draws: Draws) -> Tensor:
    # Below a magnitude of 2.5 the released code keeps none, that is a black image.
    return (4 * draws.level).floor().clamp(1, 8)


def _cutout(images: Tensor, draws: Draws) -> Tensor:
    height, width = images.shape[2:]
    half_width = (40 / 300 * min(height, width) * draws.level).long()
    row, column = (draws.place * torch.tensor([height, width])).long().unbind(1)
    return geometry.cutout(images, half_width, row, column)


Operation = Callable[[Tensor, Draws], Tensor]

MOVES: dict[str, Operation] = {
    "rotate": lambda images, draws: geometry.rotation(30 * draws.level * draws.sign, *images.shape[2:]),
    "shear_x": lambda _, draws: geometry.shear_x(0.3 * draws.level * draws.sign),
    "shear_y": lambda _, draws: geometry.shear_y(0.3 * draws.level * draws.sign),
    "translate_x": lambda images, draws: geometry.translation_x(images.shape[3] / 3 * draws.level * draws.sign),
    "translate_y": lambda images, draws: geometry.translation_y(images.shape[2] / 3 * draws.level * draws.sign),
}
"""What `geometry.move` needs for each operation that moves pixels, by its name in the released code."""

TABLES: dict[str, Operation] = {
    "autocontrast": lambda images, _: colour.autocontrast(images),
    "equalize": lambda images, _: colour.equalize(images),
    "invert": lambda images, _: colour.invert(images),
    "posterize": lambda images, draws: colour.posterize(images, _bits(draws)),
    "solarize": lambda images, draws: colour.solarize(images, (256 * draws.level).floor().clamp(max=256)),
    "solarize_add": lambda images, draws: colour.solarize_add(images, (110 * draws.level).floor().clamp(max=255)),
    "contrast": lambda images, draws: colour.contrast(images, _blend_factor(draws)),
    "brightness": lambda images, draws: colour.brighten(images, _blend_factor(draws)),
}
"""What `colour.look_up` needs for each operation that maps values."""

OTHERS: dict[str, Operation] = {
    "color": lambda images, draws: colour.saturate(images, _blend_factor(draws)),
    "sharpness": lambda images, draws: colour.sharpen(images, _blend_factor(draws)),
    "cutout": lambda images, draws: _cutout(images, draws),
}
"""The images that the remaining operations make."""

OPERATIONS = (*MOVES, *TABLES, *OTHERS)
