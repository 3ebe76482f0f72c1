import pytest

from nas import ArchSpec, StageSpec
from nas.data import Dataset
from tests.stripes import SIZE, striped


@pytest.fixture
def dataset():
    names = ("horizontal", "vertical")
    return Dataset("stripes", striped(256, 0), striped(101, 1), names, "0" * 16, 0)


@pytest.fixture
def spec():
    """Every kind of block, and every source of random numbers in training."""
    stages = (StageSpec("fused", 2, 3, 2, 8, 2), StageSpec("mbconv", 2, 3, 2, 16, 2, se_ratio=0.25))
    return ArchSpec(8, stages, 32, stem_stride=1, dropout=0.2, stochastic_depth=0.2, train_image_size=SIZE)
