"""RandAugment on a batch: every image gets operations of its own."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nas.data.augmentation import colour, geometry
from nas.errors import invalid


class Draws(NamedTuple):
    """What was drawn for each image of a group, on the CPU.

    Attributes:
        sign: -1 or 1, float64 (N,).
        place: A row and a column as shares of the image's sides, below 1, float64 (N, 2).
    """

    sign: Tensor
    place: Tensor

    def all(self, strength: float) -> Tensor:
        """Return a strength that is the same for all, (N,)."""
        return torch.full((len(self.sign),), strength)


def rand_augment(images: Tensor, magnitude: float, generator: torch.Generator, num_layers: int = 2) -> Tensor:
    """Change each image by operations drawn evenly from `OPERATIONS`, one a layer.

    RandAugment (Cubuk et al. 2020) as in EfficientNetV2's released code: 16 operations, always applied, strengths in
    proportion to the magnitude without an upper limit, their signs drawn. More is not stronger for all: posterize and
    solarize fade out. Nor is 0 nothing: it blends to nearly black, grey or smooth. Published recipes begin at 5.

    Shifts and holes are in pixels there, of images of about 300 pixels a side; here they are in proportion to the side.
    "color", which changes nothing but saturation, leaves grey images as they are.

    A batch of 128 images of 32 pixels takes about 9 ms of a processor, 64 of 128 pixels 36 ms: 7% and 4% of a training
    step of the default space's reference network. A batch of 64 of 32 pixels takes 7 ms, 12%, nearly all of it calls.

    Args:
        images: uint8 (N, C, H, W), C 1 or 3, on any device.
        magnitude: From 0 to 100, also between whole numbers. The scale was made for 0 to 10, and goes on beyond.
        generator: Source of the draws, on the CPU; it gives the same batch on every device.
        num_layers: Operations an image, in turn.

    Returns:
        The new images, of the same shape and type.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        found = f"{images.dtype} {tuple(images.shape)}"
        raise invalid("images", "bytes (N, C, H, W), C 1 or 3", found, "Augment before normalising.")
    if not 0 <= magnitude <= 100:
        raise invalid("magnitude", "between 0 and 100", magnitude, "EfficientNetV2 uses 5 to 25.")
    if num_layers < 1:
        raise invalid("num_layers", "at least 1", num_layers, "EfficientNetV2 uses 2.")
    for _ in range(num_layers if len(images) else 0):
        images = _augment_once(images, magnitude / 10, generator)
    return images


def _augment_once(images: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Apply one operation to each image: all moves together, all tables together, the others group by group."""
    choice, draws = _draw(len(images), generator)
    order = choice.argsort(stable=True)
    sizes = choice.bincount(minlength=len(OPERATIONS)).tolist()
    images = images.index_select(0, order.to(images.device))
    drawn = (Draws(*group) for group in zip(*(torch.split(values[order], sizes) for values in draws), strict=True))
    groups = dict(zip(OPERATIONS, zip(torch.split(images, sizes), drawn, strict=True), strict=True))

    moves = torch.cat([make(*groups[name], level) for name, make in MOVES.items()])
    tables = torch.cat([make(*groups[name], level).expand(-1, images.shape[1], -1) for name, make in TABLES.items()])
    changed = [
        geometry.move(images[: len(moves)], moves),
        colour.look_up(images[len(moves) : len(moves) + len(tables)], tables),
        *(change(*groups[name], level) for name, change in OTHERS.items()),
    ]
    return torch.cat(changed).index_select(0, order.argsort().to(images.device))


def _draw(num_images: int, generator: torch.Generator) -> tuple[Tensor, Draws]:
    """Return the index of an operation for each image, int64 (N,), and what else may be needed for it."""
    choice = torch.randint(len(OPERATIONS), (num_images,), generator=generator)
    sign = torch.randint(2, (num_images,), generator=generator).double() * 2 - 1
    place = torch.rand((num_images, 2), generator=generator, dtype=torch.float64)
    return choice, Draws(sign, place)


def _blend_factor(draws: Draws, level: float) -> Tensor:
    return draws.all(1.8 * level + 0.1)


def _posterize(images: Tensor, draws: Draws, level: float) -> Tensor:
    # Below a magnitude of 2.5 the released code keeps no bit, that is a black image.
    return colour.posterize(images, draws.all(min(max(int(4 * level), 1), 8)))


def _cutout(images: Tensor, draws: Draws, level: float) -> Tensor:
    height, width = images.shape[2:]
    half_width = draws.all(int(40 / 300 * min(height, width) * level)).long()
    row, column = (draws.place * torch.tensor([height, width])).long().unbind(1)
    return geometry.cutout(images, half_width, row, column)


Operation = Callable[[Tensor, Draws, float], Tensor]
"""Takes images, what was drawn for them, and the magnitude in tens."""

MOVES: dict[str, Operation] = {
    "rotate": lambda images, draws, level: geometry.rotation(30 * level * draws.sign, *images.shape[2:]),
    "shear_x": lambda _, draws, level: geometry.shear_x(0.3 * level * draws.sign),
    "shear_y": lambda _, draws, level: geometry.shear_y(0.3 * level * draws.sign),
    "translate_x": lambda images, draws, level: geometry.translation_x(images.shape[3] / 3 * level * draws.sign),
    "translate_y": lambda images, draws, level: geometry.translation_y(images.shape[2] / 3 * level * draws.sign),
}
"""What `geometry.move` needs for each operation that moves pixels, by its name in the released code."""

TABLES: dict[str, Operation] = {
    "autocontrast": lambda images, *_: colour.autocontrast(images),
    "equalize": lambda images, *_: colour.equalize(images),
    "invert": lambda images, *_: colour.invert(images),
    "posterize": _posterize,
    "solarize": lambda images, draws, level: colour.solarize(images, draws.all(min(int(256 * level), 256))),
    "solarize_add": lambda images, draws, level: colour.solarize_add(images, draws.all(min(int(110 * level), 255))),
    "contrast": lambda images, draws, level: colour.contrast(images, _blend_factor(draws, level)),
    "brightness": lambda images, draws, level: colour.brighten(images, _blend_factor(draws, level)),
}
"""What `colour.look_up` needs for each operation that maps values."""

OTHERS: dict[str, Operation] = {
    "color": lambda images, draws, level: colour.saturate(images, _blend_factor(draws, level)),
    "sharpness": lambda images, draws, level: colour.sharpen(images, _blend_factor(draws, level)),
    "cutout": _cutout,
}
"""The images that the remaining operations make."""

OPERATIONS = (*MOVES, *TABLES, *OTHERS)
