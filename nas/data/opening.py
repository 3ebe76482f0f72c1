"""Data sets by name or path: where their images come from."""

from dataclasses import replace
from pathlib import Path

from nas.data.blur import blurred_or_sharp, parse_blur
from nas.data.fashion import CLASS_NAMES, fashion_hard
from nas.data.folder import read_folder, read_images
from nas.data.parquet import read_parquet, read_parquet_images
from nas.data.published import PUBLISHED_NAMES, read_published
from nas.data.rendering import Rendering
from nas.data.sources import ArraySplit, Source
from nas.errors import did_you_mean, invalid

EMBEDDED_NAME = "fashion-hard"
DATASET_NAMES = (EMBEDDED_NAME, *PUBLISHED_NAMES)
"""Data sets that are known by name: the one in the package, and published ones that torchvision reads."""
BLUR, CROP = "blur:", "crop:"


def open_source(name: str, *, with_test: bool, download: bool, rendering: Rendering | None = None) -> Source:
    """Open a data set, as `nas.data.load_dataset` names them; nothing is decoded.

    Raises:
        InvalidInputError: If there is no such data set, or it cannot be used.
    """
    if rendering is not None and name != EMBEDDED_NAME:
        raise invalid("rendering", f"left out unless data is {EMBEDDED_NAME}", name, "Leave it out.")
    if name == EMBEDDED_NAME:
        test = ArraySplit(*fashion_hard("test", rendering)) if with_test else None
        return Source(CLASS_NAMES, ArraySplit(*fashion_hard("train", rendering)), test=test)
    if name in PUBLISHED_NAMES:
        return read_published(name, with_test=with_test, download=download)
    if name.startswith(BLUR):
        path, _, query = name.removeprefix(BLUR).partition("?")
        return blurred_or_sharp(_open_images(path, with_test=with_test, download=download), parse_blur(query))
    if name.startswith(CROP):
        return replace(open_source(name.removeprefix(CROP), with_test=with_test, download=download), cropped=True)
    if not name:
        raise invalid("data", "a path or a name", name, f"Names are {', '.join(DATASET_NAMES)}.")
    return _open_path(name, with_test=with_test)


def _open_path(name: str, *, with_test: bool) -> Source:
    path = Path(name).expanduser()
    if path.is_dir():
        if _holds_parquet(path):
            return read_parquet(path, with_test=with_test)
        return read_folder(path, with_test=with_test)
    if path.is_file() and path.suffix == ".parquet":
        return read_parquet(path, with_test=with_test)
    if path.exists():
        raise invalid("data", "a folder, a .parquet file or a name", name, "Give the folder that holds the images.")
    if len(path.parts) > 1 or name.startswith((".", "~")):
        raise invalid("data", "a path that exists, or a name", name, f"Names are {', '.join(DATASET_NAMES)}.")
    raise invalid("data", "a name or a path that exists", name, did_you_mean(name, DATASET_NAMES))


def _open_images(name: str, *, with_test: bool, download: bool) -> Source:
    """Open images whose classes do not matter, where they have any."""
    path = Path(name).expanduser()
    if name and path.is_dir() and not _holds_parquet(path):
        return read_images(path, with_test=with_test)
    if name and (path.is_dir() or (path.is_file() and path.suffix == ".parquet")):
        return read_parquet_images(path, with_test=with_test)
    return open_source(name, with_test=with_test, download=download)


def _holds_parquet(folder: Path) -> bool:
    return next(folder.rglob("*.parquet"), None) is not None
