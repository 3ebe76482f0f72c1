"""Where images come from: a source has splits, and a split decodes the images that are asked for."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nas.data.sampling import Indices
from nas.errors import invalid

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """Attributes:
    channels: 1 for grey, 3 for RGB.
    size: Pixels a side.
    resize: Whether images of another size are resized (short side, then centre crop); else they are an error.
    """

    channels: int
    size: int
    resize: bool

    @property
    def image_bytes(self) -> int:
        return self.channels * self.size**2


@dataclass(frozen=True, slots=True)
class Decoded:
    """Attributes:
    images: uint8 (N, channels, size, size).
    labels: int64 (N,).
    digest: SHA-256 of what the images were made from and of their labels, in order.
    num_skipped: Corrupt images that were left out.
    """

    images: Bytes
    labels: Labels
    digest: bytes
    num_skipped: int


class Split(ABC):
    """Labelled images, not yet decoded.

    Attributes:
        labels: int64 (N,), from 0.
    """

    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def channels(self) -> int:
        """Return 1 where every image is grey, else 3."""

    @abstractmethod
    def own_size(self) -> int:
        """Return the sides of the first image in pixels; `decode` finds out whether the others are like it.

        Raises:
            InvalidInputError: If that image is not square, or there is none.
        """

    @abstractmethod
    def decode(self, indices: Indices, pixels: PixelFormat) -> Decoded:
        """Decode the images at ascending `indices`, in order.

        Raises:
            InvalidInputError: If too many are corrupt, or one has another size and may not be resized.
        """


@dataclass(frozen=True)
class Source:
    """Attributes:
    class_names: One name a label.
    train: What training images and, where there is no `val`, validation images are taken from.
    val: A validation split of the source's own.
    test: A test split; only read when asked for.
    """

    class_names: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None


class ArraySplit(Split):
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

    def channels(self) -> int:
        return int(self.images.shape[1])

    def own_size(self) -> int:
        return int(self.images.shape[-1])

    def decode(self, indices: Indices, pixels: PixelFormat) -> Decoded:
        images = self.images[indices]
        if pixels.size != self.own_size():
            images = np.stack([to_array(fit(to_image(image), pixels.size)) for image in images])
        digest = hashlib.sha256(self.digest + indices.astype("<i8").tobytes()).digest()
        return Decoded(images, self.labels[indices], digest, num_skipped=0)


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


def not_one_size(found: tuple[int, int], todo: str = "Choose a size with --image-size.") -> Exception:
    """Build the error for an image (width, height) that is not square or not like the others."""
    return invalid("image sizes", "equal and square", f"{found[0]}x{found[1]}", todo)
