"""Image files, in folders or in parquet: decoded once, corrupt ones skipped and counted."""

import hashlib
import io
import itertools
import os
import struct
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from nas.data.sampling import Indices
from nas.data.sources import Bytes, Decoded, Derive, ImageSplit, PixelFormat, TooSmallError, not_one_size
from nas.errors import InvalidInputError, invalid

MAX_CORRUPT_FRACTION = 0.01
"""Share of a split's images that may be corrupt or too small; they are skipped and counted. More is an error."""

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises on files that are no images, or damaged ones."""

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})
_CHUNK = 128


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """Attributes:
    name: What messages call it.
    content: The bytes of an image file, or where they are.
    """

    name: str
    content: bytes | Path

    def read(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    def header(self) -> tuple[str, tuple[int, int]] | None:
        """Return the image's mode and its width and height without decoding it, or None where it is corrupt."""
        try:
            with Image.open(io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content) as image:
                return image.mode, image.size
        except UNREADABLE:
            return None


class EncodedSplit(ImageSplit):
    """Image files that are read when they are asked for."""

    @abstractmethod
    def groups(self, indices: Indices) -> Iterator[list[EncodedImage]]:
        """Yield the images at ascending `indices`, in order, in groups that fit in memory.

        Raises:
            InvalidInputError: If the source itself, not a single image, cannot be read.
        """

    @abstractmethod
    def image(self, index: int) -> EncodedImage:
        """Return one image; `prepare_to_fetch` has been called."""

    def _headers(self, indices: Indices | None = None) -> Iterator[tuple[str, tuple[int, int]]]:
        images = itertools.chain.from_iterable(self.groups(np.arange(len(self)) if indices is None else indices))
        return (header for image in images if (header := image.header()) is not None)

    def channels(self, indices: Indices | None = None) -> int:
        return 1 if all(mode in _GREY_MODES for mode, _ in self._headers(indices)) else 3

    def name(self, index: int) -> str:
        return self.image(index).name

    def derive_one(self, index: int, derive: Derive, pixels: PixelFormat) -> Bytes:
        return _derived(self.image(index), pixels, derive)[0]

    def own_size(self) -> int:
        _, size = next(self._headers(), (None, None))
        if size is None:
            raise invalid("data", "images that can be read", f"{len(self)} that cannot", "Look at the files.")
        if size[0] != size[1]:
            raise not_one_size(size)
        return size[0]

    def derive(self, indices: Indices, pixels: PixelFormat, derive: Derive, copies: int = 1) -> Decoded:
        shape = (pixels.channels, pixels.size, pixels.size)
        out = np.empty((len(indices), copies, *shape), dtype=np.uint8)
        good = np.zeros(len(indices), dtype=bool)
        skipped: list[tuple[str, Exception]] = []
        digest = hashlib.sha256()
        done = 0
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for group in self.groups(indices):
                chunks = [group[start : start + _CHUNK] for start in range(0, len(group), _CHUNK)]
                made = pool.map(lambda chunk: [_derive(image, pixels, derive) for image in chunk], chunks)
                for chunk, results in zip(chunks, made, strict=True):
                    for position, (image, result) in enumerate(zip(chunk, results, strict=True), start=done):
                        if isinstance(result, Exception):
                            skipped.append((image.name, result))
                            continue
                        out[position], good[position] = result[0], True
                        digest.update(result[1])
                    done += len(chunk)
                check_skipped(skipped, len(indices))
        labels = self.labels[indices][good]
        digest.update(labels.astype("<i8").tobytes())
        images = (out[good] if skipped else out).reshape(-1, *shape)
        return Decoded(images, labels.repeat(copies), digest.digest(), len(skipped))


def check_skipped(skipped: Sequence[tuple[str, Exception]], num_images: int, slack: float = 1.0) -> None:
    """Raise InvalidInputError if too many of a split's images are corrupt or too small.

    Args:
        skipped: Names of those that are, and what is wrong.
        num_images: Of the split, or of a sample of it.
        slack: Times `MAX_CORRUPT_FRACTION` that there may be: a sample may have more by chance.
    """
    if len(skipped) <= slack * MAX_CORRUPT_FRACTION * num_images:
        return
    rule = f"at most {MAX_CORRUPT_FRACTION:.0%} of the {num_images} in a split"
    small = [f"{name} ({error})" for name, error in skipped if isinstance(error, TooSmallError)]
    if small:
        todo = f"The first is {small[0]}. Remove them, or choose a smaller --image-size."
        raise invalid("number of images that are too small", rule, len(small), todo)
    names = ", ".join(name for name, _ in skipped[:3])
    raise invalid("corrupt images", rule, names, f"{len(skipped)} were found; replace or remove them.")


def reason(error: Exception) -> str:
    """Return what is wrong with an image that cannot be read, one of `UNREADABLE`, on one line."""
    # Pillow's words for a file of another kind hold an address in memory.
    words = getattr(error, "strerror", None) or ("damaged, or no image" if "BytesIO" in str(error) else str(error))
    return " ".join(f"cannot be read: {words}".split())


def _derive(encoded: EncodedImage, pixels: PixelFormat, derive: Derive) -> tuple[Bytes, bytes] | Exception:
    """Return what is made of an image, and the SHA-256 of its file; or why it has to be skipped."""
    try:
        return _derived(encoded, pixels, derive)
    except InvalidInputError:
        raise
    except (*UNREADABLE, TooSmallError) as error:
        return error


def _derived(encoded: EncodedImage, pixels: PixelFormat, derive: Derive) -> tuple[Bytes, bytes]:
    content = encoded.read()
    digest = hashlib.sha256(content).digest()
    return derive(open_image(content, pixels), digest), digest


def open_image(content: bytes, pixels: PixelFormat) -> Image.Image:
    """Decode an image file: upright, in mode L or RGB, and as large as it is, or at least as is needed to resize it.

    Raises:
        UNREADABLE: If it is corrupt.
    """
    mode = "L" if pixels.channels == 1 else "RGB"
    with Image.open(io.BytesIO(content)) as image:
        if pixels.resize:
            # A JPEG far larger than needed is decoded at a half, a quarter or an eighth of its size.
            side = pixels.margin * pixels.size
            image.draft(mode, (side, side))
        ImageOps.exif_transpose(image, in_place=True)
        grey16 = image.mode.startswith("I")
        plain = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)) if grey16 else image
        return plain.convert(mode)
