"""Random resized crops: where, and how they are resized."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import RandomResizedCrop, functional

from nas.data.augmentation import random_resized_crop
from nas.data.augmentation.rectangles import draw_rectangles
from nas.errors import InvalidInputError
from tests.data.augmentation.making import batches, generator, noise, scenes

ALL = (1.0, 1.0)


@pytest.mark.parametrize("images", [noise(6, 3, 40, 30), scenes(6, 1, 33, 47)])
@pytest.mark.parametrize("size", [7, 24, 64])
def test_crops_are_torchvisions(images: Tensor, size: int) -> None:
    height, width = images.shape[2:]
    boxes = draw_rectangles(6, height, width, generator(4), area=(0.08, 1), ratio=(3 / 4, 4 / 3))
    result = random_resized_crop(images, size, generator(4))
    for image, ours, top, bottom, left, right in zip(images, result, *(side.tolist() for side in boxes), strict=True):
        theirs = functional.resized_crop(image, top, left, bottom - top, right - left, [size, size], antialias=True)
        assert (ours.int() - theirs.int()).abs().max() <= 1


@settings(max_examples=30, deadline=None)
@given(images=batches(), size=st.integers(1, 16), seed=st.integers(0, 9))
def test_any_batch(images: Tensor, size: int, seed: int) -> None:
    result = random_resized_crop(images, size, generator(seed))
    assert result.dtype == torch.uint8
    assert result.shape == (*images.shape[:2], size, size)
    for image, crop in zip(images, result, strict=True):
        assert image.min() <= crop.min()
        assert crop.max() <= image.max()
    assert torch.equal(result, random_resized_crop(images.float(), size, generator(seed)))


def test_a_crop_of_everything_is_the_image() -> None:
    images = noise(3, 3, 16, 16)
    assert torch.equal(random_resized_crop(images, 16, generator(), scale=ALL, ratio=ALL), images)


def test_draws_differ_within_a_batch_and_repeat_with_the_generator() -> None:
    same = noise(1).expand(32, -1, -1, -1).contiguous()
    first = random_resized_crop(same, 12, generator())
    assert len(first.unique(dim=0)) > 28
    assert torch.equal(first, random_resized_crop(same, 12, generator()))


def test_areas_and_shapes_are_drawn_as_torchvision_draws_them() -> None:
    height, width, number = 90, 120, 2000
    boxes = draw_rectangles(number, height, width, generator(), area=(0.08, 1), ratio=(3 / 4, 4 / 3))
    heights, widths = (boxes.bottom - boxes.top).double(), (boxes.right - boxes.left).double()
    crop, image = RandomResizedCrop(8), torch.zeros(3, height, width)
    torch.manual_seed(0)
    theirs = [crop.make_params([image]) for _ in range(number)]
    drawn = {"height": heights, "width": widths, "top": boxes.top.double(), "left": boxes.left.double()}
    for key, ours in drawn.items():
        other = torch.tensor([params[key] for params in theirs], dtype=torch.float64)
        error = math.sqrt((ours.var() + other.var()) / number)
        assert abs(ours.mean() - other.mean()) < 4 * error
        assert ours.std() == pytest.approx(float(other.std()), rel=0.1)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), low=st.floats(0.02, 1), narrow=st.floats(0.2, 1))
def test_rectangles_are_inside_and_not_empty(height: int, width: int, low: float, narrow: float) -> None:
    boxes = draw_rectangles(20, height, width, generator(), area=(low, 1), ratio=(narrow, 1 / narrow))
    assert (boxes.top >= 0).all()
    assert (boxes.top < boxes.bottom).all()
    assert (boxes.bottom <= height).all()
    assert (boxes.left >= 0).all()
    assert (boxes.left < boxes.right).all()
    assert (boxes.right <= width).all()


def test_what_cannot_fit_is_shrunk_and_keeps_its_shape() -> None:
    boxes = draw_rectangles(50, 100, 10, generator(), area=ALL, ratio=(0.75, 4 / 3))
    ratios = (boxes.right - boxes.left) / (boxes.bottom - boxes.top)
    assert (boxes.right - boxes.left == 10).all()
    assert 0.7 < ratios.min() < 0.9
    assert 1.1 < ratios.max() < 1.5


@pytest.mark.parametrize(
    ("name", "value"), [("size", 0), ("scale", (0, 1)), ("scale", (0.5, 1.1)), ("scale", (1, 0.5)), ("ratio", (0, 1))]
)
def test_bad_settings(name: str, value: object) -> None:
    settings = {"size": 8, name: value}
    with pytest.raises(InvalidInputError, match=f"`{name}` must be"):
        random_resized_crop(noise(), generator=generator(), **settings)
