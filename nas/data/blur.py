"""Blurred or sharp: a data set of two classes, made of any images (`--data blur:PATH`).

Each image gives two: a crop of it as it is, and the same crop blurred. Both are always in the same split, and the split
is by image, so that no scene is on both sides. Labels the images may have are not looked at.

Crops are cut out pixel for pixel. Resized to fewer pixels, a blurred photograph is a sharp one: the label would be
wrong. So where a network is used on other images, they must be cropped too, at the scale that it was trained at.

How an image is blurred follows from its content and the seed alone, and comes out the same on every machine: kernels
are rounded to whole numbers, whose sums a convolution in float64 gives exactly.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import fft

from nas.data.sampling import Indices
from nas.data.sources import Bytes, Decoded, ImageSplit, PixelFormat, Source, Split, centre, to_array
from nas.errors import did_you_mean, invalid

CLASS_NAMES = ("blurred", "sharp")
KINDS = ("gaussian", "defocus", "motion")
MAX_STRENGTH = 20.0

_VERSION = 1
"""Counts changes of what `blur_crop` makes of equal arguments; part of the data's fingerprint."""
_UNIT = 2**16
"""What a kernel's whole numbers add up to; times 255 this is below 2^24."""

Kernel = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Blur:
    """How images are blurred.

    The strength is the standard deviation of the kernel's weight in the direction in which it is widest, so that kinds
    of one strength are about equally hard to see: a Gaussian's sigma, half the radius of a defocused point's disc, and
    the length of a motion's path divided by the root of 12.

    Attributes:
        kinds: Of `KINDS`, drawn with equal chances.
        weakest: Least strength in percent of the crop's side; strengths are drawn evenly.
        strongest: Greatest strength, likewise.
        seed: Of all draws.
    """

    kinds: tuple[str, ...] = KINDS
    weakest: float = 1.5
    strongest: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise invalid("kinds of blur", f"among {', '.join(KINDS)}", kind, did_you_mean(kind, KINDS))
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise invalid("kinds of blur", "one or more, each once", ",".join(self.kinds), "Leave out for all kinds.")
        if not 0 < self.weakest <= self.strongest <= MAX_STRENGTH:
            rule = f"a range above 0 and up to {MAX_STRENGTH:g}, in percent of the crop's side"
            raise invalid("strength of blur", rule, f"{self.weakest:g}-{self.strongest:g}", "For example 1.5-5.")
        if self.seed < 0:
            raise invalid("seed of blur", "0 or more", self.seed, "Choose another.")


def parse_blur(query: str) -> Blur:
    """Read what follows the question mark in `blur:PATH?kinds=gaussian,motion&strength=1-3&seed=1`.

    Raises:
        InvalidInputError: If a word is none of the three, given twice, or has a value that cannot be used.
    """
    known = {"kinds": _parse_kinds, "strength": _parse_strength, "seed": _parse_seed}
    values: dict[str, object] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in known:
            raise invalid("setting of blur", f"one of {', '.join(known)}", name, did_you_mean(name, known))
        found = known[name](value)
        if values.keys() & found.keys():
            raise invalid(f"{name} of blur", "given once", query, "Leave one of them out.")
        values |= found
    return Blur(**values)  # type: ignore[arg-type]


def _parse_kinds(value: str) -> dict[str, object]:
    return {"kinds": tuple(word for word in value.split(",") if word)}


def _parse_strength(value: str) -> dict[str, object]:
    low, _, high = value.partition("-")
    try:
        return {"weakest": float(low), "strongest": float(high or low)}
    except ValueError:
        raise invalid("strength of blur", "a number or two with - between them", value, "For example 1.5-5.") from None


def _parse_seed(value: str) -> dict[str, object]:
    if not (value.isascii() and value.isdigit()):
        raise invalid("seed of blur", "a whole number, 0 or more", value, "For example 1.")
    return {"seed": int(value)}


def blurred_or_sharp(images: Source, blur: Blur) -> Source:
    """Return the data set of two classes that is made of another's images, in that one's splits."""
    train, val, test = (
        _made_of(split, blur) if split is not None else None for split in (images.train, images.val, images.test)
    )
    assert train is not None, "a source has images to train on"
    return Source(CLASS_NAMES, train, val, test, cropped=True)


def _made_of(split: Split, blur: Blur) -> "BlurSplit":
    if not isinstance(split, ImageSplit):
        raise invalid("data", "images after blur:", "blurred ones", "Say blur: once.")
    return BlurSplit(split, blur)


class BlurSplit(Split):
    """Two images of each of another split's: blurred, then sharp.

    Args:
        images: The other split.
        blur: How they are blurred.
    """

    group_size = 2

    def __init__(self, images: ImageSplit, blur: Blur) -> None:
        self.images = images
        self.blur = blur
        self.labels = np.tile(np.array([0, 1], dtype=np.int64), len(images))

    def channels(self, indices: Indices | None = None) -> int:
        return self.images.channels(None if indices is None else np.unique(indices // 2))

    def own_size(self) -> int:
        return self.images.own_size()

    def decode(self, indices: Indices, pixels: PixelFormat) -> Decoded:
        make = partial(_pair, size=pixels.size, blur=self.blur)
        found = self.images.derive(indices[::2] // 2, pixels, make, copies=2)
        labels = np.tile(np.array([0, 1], dtype=np.int64), len(found.images) // 2)
        return Decoded(found.images, labels, self._digest(found.digest), found.num_skipped)

    def name(self, index: int) -> str:
        return self.images.name(index // 2)

    def fetch(self, index: int, pixels: PixelFormat) -> Bytes:
        make = partial(_pair, size=pixels.size, blur=self.blur)
        both = self.images.derive_one(index // 2, make, pixels)
        chosen: Bytes = both[index % 2]
        return chosen

    def listing(self, indices: Indices) -> bytes:
        return self._digest(self.images.listing(indices[::2] // 2))

    def prepare_to_fetch(self) -> None:
        self.images.prepare_to_fetch()

    def _digest(self, images: bytes) -> bytes:
        return hashlib.sha256(repr((_VERSION, self.blur)).encode() + images).digest()


def _pair(image: Image.Image, digest: bytes, *, size: int, blur: Blur) -> Bytes:
    """Return the centre of an image blurred and as it is, uint8 (2, channels, size, size)."""
    top, left = centre(image, size)
    array = to_array(image)
    kernel = draw_kernel(digest, size, blur)
    return np.stack([blur_crop(array, kernel, top, left, size), array[:, top : top + size, left : left + size]])


def draw_kernel(digest: bytes, size: int, blur: Blur) -> Kernel:
    """Return the kernel for an image: whole numbers that add up to `_UNIT`, square, with an odd side.

    Args:
        digest: SHA-256 of its content.
        size: Pixels a side of the crop.
        blur: What there is to draw from.
    """
    drawn = hashlib.sha256(digest + str(blur.seed).encode()).digest()
    which, how_strong, angle = (int.from_bytes(drawn[start : start + 8], "big") / 2**64 for start in (0, 8, 16))
    strength = (blur.weakest + (blur.strongest - blur.weakest) * how_strong) / 100 * size
    match blur.kinds[min(int(which * len(blur.kinds)), len(blur.kinds) - 1)]:
        case "gaussian":
            return gaussian(strength)
        case "defocus":
            return disc(2 * strength)
        case _:
            return line(math.sqrt(12) * strength, math.pi * angle)


def gaussian(sigma: float) -> Kernel:
    """Return a Gaussian up to three sigma; `sigma` in pixels."""
    y, x = _grid(3 * sigma)
    return _whole(np.exp(-(x * x + y * y) / (2 * sigma * sigma)))


def disc(radius: float) -> Kernel:
    """Return what a lens makes of a point that is out of focus; `radius` in pixels."""
    y, x = _grid(radius + 0.5)
    return _whole(np.clip(radius + 0.5 - np.sqrt(x * x + y * y), 0, 1))


def line(length: float, angle: float) -> Kernel:
    """Return the path of a point in a shaken picture, one pixel wide; `length` in pixels, `angle` in radians."""
    y, x = _grid(length / 2 + 0.5)
    along = np.abs(x * math.cos(angle) + y * math.sin(angle))
    across = np.abs(y * math.cos(angle) - x * math.sin(angle))
    return _whole(np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1 - across, 0, 1))


def _grid(reach: float) -> tuple[Kernel, Kernel]:
    """Return the rows and columns of pixels that are within reach of the middle, as seen from there."""
    side = np.arange(-math.ceil(reach), math.ceil(reach) + 1, dtype=np.float64)
    return side[:, None], side[None, :]


def _whole(weights: Kernel) -> Kernel:
    """Scale to whole numbers that add up to `_UNIT`; what rounding takes from a pixel goes to the next."""
    total = np.cumsum(weights)
    whole: Kernel = np.diff(np.rint(total / total[-1] * _UNIT), prepend=0.0).reshape(weights.shape)
    return whole


def blur_crop(image: Bytes, kernel: Kernel, top: int, left: int, size: int) -> Bytes:
    """Cut a square out of an image that is blurred; what is around it blurs into it, as it would in a camera.

    Args:
        image: uint8 (channels, height, width); beyond its edges it is taken to be mirrored.
        kernel: As `draw_kernel` gives it.
        top: First row of the square.
        left: First column.
        size: Pixels a side.

    Returns:
        uint8 (channels, size, size).
    """
    reach = len(kernel) // 2
    rows, columns = (
        _mirrored(np.arange(start - reach, start + size + reach), sides)
        for start, sides in ((top, image.shape[1]), (left, image.shape[2]))
    )
    around = image[:, rows[:, None], columns].astype(np.float64)
    # Around a circle of this length, only sums at the edges, which are cut off, meet what is not next to them.
    circle = (fft.next_fast_len(size + 2 * reach, real=True),) * 2
    product = fft.rfft2(around, circle) * fft.rfft2(kernel, circle)
    inner = slice(2 * reach, 2 * reach + size)
    # Every sum is a whole number below 2^24, and the transform errs by far less than a half.
    sums = np.rint(fft.irfft2(product, circle)[:, inner, inner])
    blurred: Bytes = np.floor((sums + _UNIT / 2) / _UNIT).astype(np.uint8)
    return blurred


def _mirrored(index: Indices, size: int) -> Indices:
    """Map indices outside back inside, mirrored at the first and the last as often as it takes."""
    index = np.abs(index) % (2 * (size - 1))
    return np.minimum(index, 2 * (size - 1) - index)
