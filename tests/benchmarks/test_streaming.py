"""What decoding at a stage's size saves, against decoding at the largest size and resizing afterwards.

    python -m pytest tests/benchmarks/test_streaming.py -m benchmark -s

JPEGs of 500 x 375 pixels, as most of ImageNet's are, made of smooth noise at four scales. Both ways take turns, on one
process that decodes; the larger size is 224 pixels. Wants two quiet cores.
"""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import Images, load_dataset
from nas.training.loop import normaliser

pytestmark = pytest.mark.benchmark

NUM_IMAGES, LARGEST, BATCH_SIZE, ROUNDS = 512, 224, 64, 9


def write_photographs(root: Path) -> Path:
    for index in range(NUM_IMAGES):
        rng = np.random.default_rng(index)
        total = np.zeros((375, 500, 3))
        for width in (4, 16, 64, 160):
            coarse = Image.fromarray(rng.integers(0, 256, (width * 3 // 4, width, 3), dtype=np.uint8))
            total += np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)) / width**0.7
        total = (total - total.min()) / (total.max() - total.min()) * 255
        folder = root / "train" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(total.astype(np.uint8)).save(folder / f"{index:04}.jpg", quality=90)
    for name in "ab":
        (root / "val" / name).mkdir(parents=True)
        (root / "val" / name / "0.jpg").write_bytes((root / "train" / name / f"000{'ab'.index(name)}.jpg").read_bytes())
    return root


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.mark.parametrize(("size", "least"), [(96, 1.25), (128, 1.25), (224, 0.9)])
def test_small_stages_are_decoded_faster(photographs: Path, size: int, least: float) -> None:
    data = load_dataset(str(photographs), image_size=LARGEST, loader="stream", num_workers=1)
    normalise = normaliser(data, size)

    def images_a_second(images: Images, image_size: int | None) -> float:
        order = torch.split(torch.randperm(len(images), generator=torch.Generator().manual_seed(0)), BATCH_SIZE)
        began = time.perf_counter()
        for batch, _ in images.batches(order, image_size):
            assert normalise(batch).shape[-1] == size
        return len(images) / (time.perf_counter() - began)

    rates = np.array([[images_a_second(data.train, wanted) for wanted in (size, None)] for _ in range(ROUNDS)])
    ratio = np.percentile(rates[:, 0] / rates[:, 1], (25, 50, 75))
    at_stage, at_largest = np.median(rates, 0)
    print(
        f"\n{size} px: {at_stage:.0f} images/s decoded at it, {at_largest:.0f} at {LARGEST} px and resized: "
        f"{ratio[1]:.2f} times (quartiles {ratio[0]:.2f} to {ratio[2]:.2f})"
    )
    assert ratio[1] >= least
