import pytest
import torch

from nas import ArchSpec, StageSpec
from nas.data import Dataset, ImageSet

SIZE = 16


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def striped(num_images, seed, *, num_classes=2, in_order=False):
    """Images that anyone can tell apart: horizontal stripes or vertical ones (or chequers), under noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_images) % num_classes
    labels = labels.sort().values if in_order else labels
    lines = torch.arange(SIZE).div(4, rounding_mode="floor") % 2 * 120
    patterns = torch.stack(
        [lines[:, None].expand(SIZE, SIZE), lines[None, :].expand(SIZE, SIZE), lines[:, None] ^ lines[None, :]]
    )
    noise = torch.randint(0, 100, (num_images, 1, SIZE, SIZE), generator=generator)
    return ImageSet((patterns[labels][:, None] + noise).to(torch.uint8), labels)


@pytest.fixture
def dataset():
    names = ("horizontal", "vertical")
    return Dataset("stripes", striped(256, 0), striped(101, 1), names, "0" * 16, 0)


@pytest.fixture
def spec():
    """Every kind of block, and every source of random numbers in training."""
    stages = (StageSpec("fused", 2, 3, 2, 8, 2), StageSpec("mbconv", 2, 3, 2, 16, 2, se_ratio=0.25))
    return ArchSpec(8, stages, 32, stem_stride=1, dropout=0.2, stochastic_depth=0.2, train_image_size=SIZE)
