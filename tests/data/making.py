"""Small data sets, written to disk."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = ("cat", "dog", "owl")


def picture(key: int, *, size: tuple[int, int] = (12, 12), mode: str = "RGB") -> Image.Image:
    """Draw noise that is different for every key; `size` is width and height."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(key).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    return Image.fromarray(pixels)


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def write_folder(root: Path, counts: dict[str, int], start: int = 0, **drawing: Any) -> Path:
    """Write `counts[name]` pictures to the subfolder of each name."""
    key = start
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture(key, **drawing).save(root / name / f"{index:04}.png")
            key += 1
    return root


def write_parquet(
    path: Path,
    labels: Sequence[int | None],
    *,
    images: Sequence[bytes | None] | None = None,
    image_column: str = "image",
    label_column: str = "label",
    as_struct: bool = True,
    names: Sequence[str] | None = CLASSES,
    start: int = 0,
) -> Path:
    """Write images in Hugging Face's form, ten rows a row group."""
    images = images if images is not None else [encode(picture(start + index)) for index in range(len(labels))]
    column: pa.Array
    if as_struct:
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        column = pa.array([{"bytes": image, "path": None} for image in images], kind)
    else:
        column = pa.array(images, pa.binary())
    table = pa.table({image_column: column, label_column: pa.array(labels, pa.int64())})
    if names is not None:
        features = {image_column: {"_type": "Image"}, label_column: {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=10)
    return path


Maker = Callable[[Path], str]


def make_embedded(_: Path) -> str:
    return "fashion-hard"


def make_flat_folder(root: Path) -> str:
    return str(write_folder(root, dict.fromkeys(CLASSES, 12)))


def make_split_folder(root: Path) -> str:
    write_folder(root / "train", dict.fromkeys(CLASSES, 8))
    write_folder(root / "val", dict.fromkeys(CLASSES, 4), start=100)
    write_folder(root / "test", dict.fromkeys(CLASSES, 3), start=200)
    return str(root)


def make_parquet_file(root: Path) -> str:
    return str(write_parquet(root / "animals.parquet", [0, 1, 2] * 12, as_struct=False))


def make_parquet_folder(root: Path) -> str:
    write_parquet(root / "data" / "train-00000-of-00002.parquet", [0, 1, 2] * 8)
    write_parquet(root / "data" / "train-00001-of-00002.parquet", [2, 1, 0] * 4, start=50)
    write_parquet(root / "data" / "validation-00000-of-00001.parquet", [0, 1, 2] * 4, start=100)
    write_parquet(root / "data" / "test-00000-of-00001.parquet", [0, 1, 2] * 3, start=200)
    return str(root)


def make_blurred(root: Path) -> str:
    """Noise is sharp to the last pixel, so that each blur can be seen."""
    return f"blur:{write_folder(root, dict.fromkeys(CLASSES, 12))}?strength=8-15"


def make_cropped(root: Path) -> str:
    return f"crop:{write_folder(root, dict.fromkeys(CLASSES, 12))}"


MAKERS: tuple[Maker, ...] = (
    make_embedded,
    make_flat_folder,
    make_split_folder,
    make_parquet_file,
    make_parquet_folder,
    make_blurred,
    make_cropped,
)
