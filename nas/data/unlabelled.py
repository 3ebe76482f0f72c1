"""Images whose classes nobody has said: those to predict on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from nas.data.encoded import UNREADABLE, EncodedImage, EncodedSplit, open_image, reason
from nas.data.folder import FileSplit
from nas.data.parquet import ParquetSplit
from nas.data.sources import Bytes, PixelFormat, TooSmallError, arrange, to_array
from nas.errors import invalid


def find_images(path: Path) -> EncodedSplit:
    """Return the images in a folder, at any depth, or in its parquet files if it has any; or those of a single file.

    Raises:
        InvalidInputError: If the path cannot be read, or there is no image.
    """
    if path.is_dir():
        files = sorted(path.rglob("*.parquet"))
        found: EncodedSplit = ParquetSplit(files, labelled=False) if files else FileSplit(path, (".",))
    elif path.suffix == ".parquet" and path.is_file():
        found = ParquetSplit([path], labelled=False)
    elif path.is_file():
        found = FileSplit(path.parent, (path.name,))
    else:
        raise invalid("path", "an image, a folder or a parquet file that exists", str(path), "Correct the path.")
    if not found:
        raise invalid("path", "a place with images", str(path), "There is none in it.")
    return found


def prepared(images: EncodedSplit, pixels: PixelFormat, batch_size: int) -> Iterator[list[tuple[str, Bytes | str]]]:
    """Yield batches of the images' names, and their pixels, or what is wrong with them; none ends the others.

    Args:
        images: Read as they are asked for, not all at once.
        pixels: As the network was trained; pixels are uint8 (channels, size, size).
        batch_size: Images in a batch, at most.
    """
    with ThreadPoolExecutor() as pool:
        for group in images.groups(np.arange(len(images))):
            for start in range(0, len(group), batch_size):
                batch = group[start : start + batch_size]
                found = pool.map(lambda image: _pixels(image, pixels), batch)
                yield [(image.name, result) for image, result in zip(batch, found, strict=True)]


def _pixels(image: EncodedImage, pixels: PixelFormat) -> Bytes | str:
    try:
        return to_array(arrange(open_image(image.read(), pixels), pixels))
    except TooSmallError as error:
        return str(error)
    except UNREADABLE as error:
        return reason(error)
