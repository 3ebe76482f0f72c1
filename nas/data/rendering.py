"""Render small grey images harder: placed, turned and scaled at random on a larger canvas, among clutter and noise.

Only IEEE additions and multiplications touch the pixels, in an order that does not depend on the batch size or on
threads, and every quantity has a random stream of its own, so that image i comes out the same whatever is rendered
after it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.errors import invalid

RENDERING_VERSION = 1
"""Counts changes of what `render` draws for equal settings; part of the data's fingerprint."""

CANVAS_SIZE = 32
_BATCH = 128  # small enough that a batch's arrays stay in the processor's cache

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Draws = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rendering:
    """How hard images are made; every field's extreme is "off". Distributions are uniform unless said otherwise.

    Attributes:
        rotation_degrees: The object is turned by up to this angle, either way; 0 is off.
        scale_min: Least size of the object relative to its own pixels.
        scale_max: Greatest size, at most 32/28, where the object's frame fills the canvas.
        shift_fraction: How far the object's frame moves off the centre; 1 is as far as the canvas' edge, 0 is off.
        clutter: Number of patches of other images around and under the object; 0 is off.
        clutter_size: Pixels a side of such a patch.
        occlusion: Greatest side of a square of one grey over the object, as a fraction of the canvas; 0 is off.
        contrast_min: Least contrast; the range of greys that is left lies anywhere between black and white. 1 is off.
        invert_probability: Share of images whose greys are inverted; 0 is off.
        noise: Standard deviation of Gaussian noise, relative to the range from black to white; 0 is off.
        seed: Seed of all of it.
    """

    rotation_degrees: float = 30.0
    scale_min: float = 0.6
    scale_max: float = 1.0
    shift_fraction: float = 1.0
    clutter: int = 2
    clutter_size: int = 10
    occlusion: float = 0.0
    contrast_min: float = 0.7
    invert_probability: float = 0.0
    noise: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        rules = (
            ("rotation_degrees", 0 <= self.rotation_degrees <= 180, "between 0 and 180"),
            ("scale_min", 0 < self.scale_min <= self.scale_max, "above 0 and at most scale_max"),
            ("scale_max", self.scale_max <= CANVAS_SIZE / 28, "at most 32/28"),
            ("shift_fraction", 0 <= self.shift_fraction <= 1, "between 0 and 1"),
            ("clutter", self.clutter >= 0, "0 or more"),
            ("clutter_size", 1 <= self.clutter_size <= 28, "between 1 and 28"),
            ("occlusion", 0 <= self.occlusion <= 1, "between 0 and 1"),
            ("contrast_min", 0 <= self.contrast_min <= 1, "between 0 and 1"),
            ("invert_probability", 0 <= self.invert_probability <= 1, "between 0 and 1"),
            ("noise", self.noise >= 0, "0 or more"),
            ("seed", self.seed >= 0, "0 or more"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise invalid(name, rule, getattr(self, name), "Correct the rendering.")


def render(images: Bytes, rendering: Rendering, clutter_images: Bytes | None = None) -> Bytes:
    """Draw each image once on a canvas of its own.

    Args:
        images: Objects on black, uint8 (N, 28, 28).
        rendering: The strengths, and the seed.
        clutter_images: What patches are cut from, uint8 (M, 28, 28); `images` where left out.

    Returns:
        uint8 (N, 1, 32, 32), equal for equal arguments.
    """
    donors = images if clutter_images is None else clutter_images
    placing, cluttering, occluding, toning, sounding = (np.random.default_rng([rendering.seed, k]) for k in range(5))
    canvas = np.empty((len(images), 1, CANVAS_SIZE, CANVAS_SIZE), dtype=np.uint8)
    for start in range(0, len(images), _BATCH):
        objects = images[start : start + _BATCH]
        n = len(objects)
        pixels = _place(objects, rendering, placing.random((n, 4)))
        _lay_under(pixels, donors, rendering, cluttering.random((n, rendering.clutter, 5)))
        _occlude(pixels, rendering, occluding.random((n, 4)))
        _tone(pixels, rendering, toning.random((n, 3)))
        pixels += np.float32(255 * rendering.noise) * sounding.standard_normal(pixels.shape, dtype=np.float32)
        canvas[start : start + n, 0] = np.clip(np.rint(pixels), 0, 255)
    return canvas


def _place(images: Bytes, rendering: Rendering, draws: Draws) -> Floats:
    """Sample each image bilinearly where its turned, scaled and shifted frame covers the canvas; black elsewhere.

    Args:
        images: uint8 (N, 28, 28).
        rendering: The strengths.
        draws: (N, 4) of angle, scale, shift down and shift right.
    """
    n, side = images.shape[:2]
    angle, scale, down, right = draws.T
    angle = np.deg2rad(rendering.rotation_degrees) * (2 * angle - 1)
    scale = rendering.scale_min + (rendering.scale_max - rendering.scale_min) * scale
    reach = (CANVAS_SIZE - side * scale) / 2 * rendering.shift_fraction
    cos, sin = (_per_image(values / scale) for values in (np.cos(angle), np.sin(angle)))
    centre = (CANVAS_SIZE - 1) / 2
    grid = np.arange(CANVAS_SIZE, dtype=np.float32)
    y = grid[None, :, None] - _per_image(centre + reach * (2 * down - 1))
    x = grid[None, None, :] - _per_image(centre + reach * (2 * right - 1))

    # One black pixel before and two behind let every sample read its four neighbours.
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2)))
    row = np.clip(cos * y - sin * x + np.float32((side + 1) / 2), 0, side + 1)
    column = np.clip(sin * y + cos * x + np.float32((side + 1) / 2), 0, side + 1)
    top, left = row.astype(np.int32), column.astype(np.int32)
    row -= top
    column -= left
    width = side + 3
    index = np.arange(n, dtype=np.int32)[:, None, None] * np.int32(width * width) + top * np.int32(width) + left
    flat = padded.ravel().astype(np.float32)
    upper = _between(flat.take(index), flat.take(index + 1), column)
    lower = _between(flat.take(index + width), flat.take(index + width + 1), column)
    return _between(upper, lower, row)


def _lay_under(pixels: Floats, donors: Bytes, rendering: Rendering, draws: Draws) -> None:
    """Lay patches of the donors on the canvas, in place; the object, where it is not black, stays on top of them.

    Args:
        pixels: (N, 32, 32), objects on black.
        donors: uint8 (M, 28, 28).
        rendering: The strengths.
        draws: (N, clutter, 5) of the donor, the patch's top and left in it, and its top and left on the canvas.
    """
    if not rendering.clutter:
        return
    size, room = rendering.clutter_size, donors.shape[1] - rendering.clutter_size + 1
    side = np.arange(size)
    under = np.zeros_like(pixels)
    image = np.arange(len(pixels))[:, None, None]
    for patch in range(rendering.clutter):
        limits = (len(donors), room, room, CANVAS_SIZE - size + 1, CANVAS_SIZE - size + 1)
        donor, top, left, to_top, to_left = (draws[:, patch] * limits).astype(np.int64).T[:, :, None, None]
        cut = donors[donor, top + side[:, None], left + side]
        place = (image, to_top + side[:, None], to_left + side)
        under[place] = np.maximum(under[place], cut)
    # An object's soft edge, up to a quarter of white, lets the clutter shine through.
    under *= 1 - np.minimum(pixels * np.float32(4 / 255), 1)
    pixels += under


def _occlude(pixels: Floats, rendering: Rendering, draws: Draws) -> None:
    """Lay a square of one grey over each canvas, in place; `draws` (N, 4) are its side, top, left and grey."""
    side, top, left, grey = draws.T
    side = np.floor(side * (rendering.occlusion * CANVAS_SIZE + 1))
    top, left = (np.floor(values * (CANVAS_SIZE + 1 - side)) for values in (top, left))
    grid = np.arange(CANVAS_SIZE)
    rows = (grid >= top[:, None]) & (grid < (top + side)[:, None])
    columns = (grid >= left[:, None]) & (grid < (left + side)[:, None])
    np.copyto(pixels, _per_image(255 * grey), where=rows[:, :, None] & columns[:, None, :])


def _tone(pixels: Floats, rendering: Rendering, draws: Draws) -> None:
    """Lower contrast, move brightness and invert, in place; `draws` (N, 3) are contrast, brightness and inversion."""
    contrast, brightness, inversion = draws.T
    contrast = rendering.contrast_min + (1 - rendering.contrast_min) * contrast
    black = 255 * (1 - contrast) * brightness
    inverted = inversion < rendering.invert_probability
    pixels *= _per_image(np.where(inverted, -contrast, contrast))
    pixels += _per_image(np.where(inverted, 255 - black, black))


def _between(first: Floats, second: Floats, fraction: Floats) -> Floats:
    """Interpolate linearly; writes over `second`."""
    second -= first
    second *= fraction
    second += first
    return second


def _per_image(values: npt.NDArray[np.float64]) -> Floats:
    """Shape one number an image so that it broadcasts over (N, height, width)."""
    return values.astype(np.float32)[:, None, None]
