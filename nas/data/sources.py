"""Where images come from: a source has splits, and a split decodes the images that are asked for."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nas.data.sampling import Indices
from nas.errors import invalid

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

Derive = Callable[[Image.Image, bytes], Bytes]
"""From a whole image, upright and in mode L or RGB, and the SHA-256 of its content, to what is made of it, uint8
(copies, channels, size, size). It may raise `TooSmallError`."""


class TooSmallError(Exception):
    """An image is smaller than what is to be cut out of it; the text says both sizes."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """Attributes:
    channels: 1 for grey, 3 for RGB.
    size: Pixels a side.
    resize: Whether images of another size are resized (short side, then centre crop); else they are an error.
    crop: Whether the centre is cut out of larger images instead, pixel for pixel; smaller ones are skipped.
    margin: A JPEG that is resized is decoded at a half, a quarter or an eighth of its size, if its sides are then still
        this many times `size`. 1 is fastest.
    """

    channels: int
    size: int
    resize: bool
    crop: bool = False
    margin: int = 2

    @property
    def image_bytes(self) -> int:
        return self.channels * self.size**2


@dataclass(frozen=True, slots=True)
class Decoded:
    """Attributes:
    images: uint8 (N, channels, size, size).
    labels: int64 (N,).
    digest: SHA-256 of what the images were made from and of their labels, in order.
    num_skipped: Images that were left out: corrupt ones, and where they are cropped those that are too small.
    """

    images: Bytes
    labels: Labels
    digest: bytes
    num_skipped: int


class Split(ABC):
    """Labelled images, not yet decoded: many are decoded at once (`decode`), or one at a time in any order (`fetch`).

    A split that images are fetched from travels to other processes, once `prepare_to_fetch` has been called.

    Attributes:
        labels: int64 (N,), from 0.
        group_size: How many images, next to each other, are made of the same thing and must stay in one split.
    """

    labels: Labels
    group_size: int = 1

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def channels(self, indices: Indices | None = None) -> int:
        """Return 1 where every image, or every one at ascending `indices`, is grey, else 3."""

    @abstractmethod
    def own_size(self) -> int:
        """Return the sides of the first image in pixels; `decode` finds out whether the others are like it.

        Raises:
            InvalidInputError: If that image is not square, or there is none.
        """

    @abstractmethod
    def decode(self, indices: Indices, pixels: PixelFormat) -> Decoded:
        """Decode the images at ascending `indices`, whole groups, in order.

        Raises:
            InvalidInputError: If too many are corrupt or too small, or one has another size and may not be changed.
        """

    @abstractmethod
    def name(self, index: int) -> str:
        """Return what messages call an image."""

    @abstractmethod
    def fetch(self, index: int, pixels: PixelFormat) -> Bytes:
        """Decode one image, uint8 (channels, size, size), as `decode` would.

        Raises:
            UNREADABLE: Of `nas.data.encoded`, if it is corrupt.
            TooSmallError: If it is to be cropped and has not got the pixels.
        """

    @abstractmethod
    def listing(self, indices: Indices) -> bytes:
        """Return a SHA-256 that tells images, and their order, apart without reading them: by names and sizes.

        Content that is replaced by other content of the same size is not noticed.
        """

    def prepare_to_fetch(self) -> None:  # noqa: B027 - most splits need nothing
        """Make sure that any image can be fetched quickly; the first time this may take long.

        Raises:
            InvalidInputError: If it is not possible here.
        """


class ImageSplit(Split):
    """Images of which others can be made."""

    def fetch(self, index: int, pixels: PixelFormat) -> Bytes:
        made: Bytes = self.derive_one(index, lambda image, _: to_array(arrange(image, pixels))[None], pixels)[0]
        return made

    @abstractmethod
    def derive_one(self, index: int, derive: Derive, pixels: PixelFormat) -> Bytes:
        """Return what `derive` makes of one image; raises as `fetch`."""

    def decode(self, indices: Indices, pixels: PixelFormat) -> Decoded:
        return self.derive(indices, pixels, lambda image, _: to_array(arrange(image, pixels))[None])

    @abstractmethod
    def derive(self, indices: Indices, pixels: PixelFormat, derive: Derive, copies: int = 1) -> Decoded:
        """Decode the images at ascending `indices`, and keep of each the `copies` that `derive` makes of it, in order.

        Raises:
            InvalidInputError: As `decode`.
        """


@dataclass(frozen=True)
class Source:
    """Attributes:
    class_names: One name a label.
    train: What training images and, where there is no `val`, validation images are taken from.
    val: A validation split of the source's own.
    test: A test split; only read when asked for.
    cropped: Whether another size is cut out of the images, since resizing would change what their labels say.
    """

    class_names: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None
    cropped: bool = False


class ArraySplit(ImageSplit):
    """Images that are an array already.

    Args:
        images: uint8 (N, channels, side, side).
        labels: Integers (N,).
        digest: SHA-256 of both, or of what makes them.
    """

    def __init__(self, images: Bytes, labels: Labels, digest: bytes) -> None:
        self.images = images
        self.labels = labels.astype(np.int64)
        self.digest = digest

    def channels(self, indices: Indices | None = None) -> int:
        del indices  # They are all alike.
        return int(self.images.shape[1])

    def own_size(self) -> int:
        return int(self.images.shape[-1])

    def decode(self, indices: Indices, pixels: PixelFormat) -> Decoded:
        if pixels.size != self.own_size():
            return super().decode(indices, pixels)
        return Decoded(self.images[indices], self.labels[indices], self._digest(indices), num_skipped=0)

    def derive(self, indices: Indices, pixels: PixelFormat, derive: Derive, copies: int = 1) -> Decoded:
        try:
            made = [derive(to_image(image), hashlib.sha256(image).digest()) for image in self.images[indices]]
        except TooSmallError as error:
            raise invalid("image_size", f"at most {self.own_size()}", pixels.size, "Choose a smaller one.") from error
        return Decoded(np.concatenate(made), self.labels[indices].repeat(copies), self._digest(indices), num_skipped=0)

    def name(self, index: int) -> str:
        return f"image {index}"

    def derive_one(self, index: int, derive: Derive, pixels: PixelFormat) -> Bytes:
        del pixels  # Nothing has to be decoded.
        image = self.images[index]
        return derive(to_image(image), hashlib.sha256(image).digest())

    def listing(self, indices: Indices) -> bytes:
        return self._digest(indices)

    def _digest(self, indices: Indices) -> bytes:
        return hashlib.sha256(self.digest + indices.astype("<i8").tobytes()).digest()


def to_image(array: Bytes) -> Image.Image:
    """Return the image of a uint8 array (channels, height, width)."""
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def to_array(image: Image.Image) -> Bytes:
    """Return uint8 (channels, height, width) of an image in mode L or RGB."""
    array: Bytes = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def fit(image: Image.Image, size: int) -> Image.Image:
    """Resize so that the short side is `size`, bilinear with a low-pass filter, and crop the centre."""
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def arrange(image: Image.Image, pixels: PixelFormat) -> Image.Image:
    """Bring an image to the size that is asked for, in the way that is asked for.

    Raises:
        TooSmallError: If it is to be cropped and has not got the pixels.
        InvalidInputError: If it has another size and may not be changed.
    """
    if pixels.resize:
        return fit(image, pixels.size)
    if pixels.crop:
        top, left = centre(image, pixels.size)
        return image.crop((left, top, left + pixels.size, top + pixels.size))
    if image.size != (pixels.size, pixels.size):
        raise not_one_size(image.size, f"The first is {pixels.size}x{pixels.size}; choose a size with --image-size.")
    return image


def centre(image: Image.Image, size: int) -> tuple[int, int]:
    """Return top and left of the square in an image's centre; raise TooSmallError if it does not fit."""
    width, height = image.size
    if min(width, height) < size:
        raise TooSmallError(f"{width}x{height} pixels, too few to cut {size}x{size} out of them")
    return (height - size) // 2, (width - size) // 2


def not_one_size(found: tuple[int, int], todo: str = "Choose a size with --image-size.") -> Exception:
    """Build the error for an image (width, height) that is not square or not like the others."""
    return invalid("image sizes", "equal and square", f"{found[0]}x{found[1]}", todo)
