"""The embedded data set: Fashion-MNIST's images, rendered harder (see `nas.data.rendering`)."""

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data.embed import EMBEDDED_DIR, read_array
from nas.data.rendering import CANVAS_SIZE, RENDERING_VERSION, Bytes, Rendering, render

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def fashion_hard(split: str, rendering: Rendering | None = None) -> tuple[Bytes, npt.NDArray[np.int64], bytes]:
    """Return rendered images, uint8 (N, 1, 32, 32), their labels, and a digest of what they were rendered from.

    Args:
        split: "train", 24,000 images, or "test", 6,000; each has 10 classes of equal size. Clutter comes from images
            that are in neither.
        rendering: How; `Rendering()` where left out. The test split is drawn with the next seed.
    """
    rendering = rendering or Rendering()
    if split == "test":
        rendering = replace(rendering, seed=rendering.seed + 1)
    names = (f"{split}_images", f"{split}_labels", "clutter_images")
    packed_images, packed_labels, packed_clutter = ((EMBEDDED_DIR / f"{name}.npy.xz").read_bytes() for name in names)
    recipe = hashlib.sha256(repr((RENDERING_VERSION, rendering)).encode())
    for packed in (packed_images, packed_labels, packed_clutter):
        recipe.update(hashlib.sha256(packed).digest())
    digest = recipe.digest()
    labels = read_array(packed_labels).astype(np.int64)

    # Reading and rendering take about 1.5 s, a cached file 0.05 s: worker processes start that much sooner.
    cached = cache_dir() / f"fashion-hard-{split}-{digest.hex()[:16]}.npy"
    images = _load_cached(cached, (len(labels), 1, CANVAS_SIZE, CANVAS_SIZE))
    if images is None:
        images = render(read_array(packed_images), rendering, read_array(packed_clutter))
        _store(cached, images)
    return images, labels, digest


def cache_dir() -> Path:
    """Return the folder for what can be made again: ~/.cache/nas, or nas in XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nas"


def _load_cached(path: Path, shape: tuple[int, ...]) -> Bytes | None:
    """Return the cached array, or None where there is none or the file is damaged."""
    try:
        images: Bytes = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _store(path: Path, images: Bytes) -> None:
    """Write the array in one step, so that other processes see all of it or none; a read-only disk is no error."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as file:
            try:
                np.save(file, images, allow_pickle=False)
                file.close()
                Path(file.name).replace(path)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise


def data_dir() -> Path:
    """Return the folder that holds published data sets: NAS_DATA_DIR, else data in the cache folder."""
    return Path(os.environ.get("NAS_DATA_DIR") or cache_dir() / "data").expanduser()
