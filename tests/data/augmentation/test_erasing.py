"""Holes of noise: where, how large, of what."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.data.augmentation import noise_cutout, random_erasing
from nas.errors import InvalidInputError
from tests.data.augmentation.making import batches, generator, noise

Erase = Callable[[Tensor, torch.Generator], Tensor]

FAR = 100.0
"""A value that noise does not reach."""


def blank(num_images: int = 400, channels: int = 3, height: int = 24, width: int = 24) -> Tensor:
    return torch.full((num_images, channels, height, width), FAR)


def holes(images: Tensor) -> Tensor:
    """Return where values were replaced, bool (N, H, W), the same in all channels."""
    replaced = images != FAR
    assert (replaced == replaced[:, :1]).all()
    return replaced[:, 0]


def sides(hole: Tensor) -> tuple[int, int]:
    """Return height and width of a hole, which must be a full rectangle."""
    rows, columns = hole.any(1).nonzero(), hole.any(0).nonzero()
    height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
    assert int(hole.sum()) == height * width
    return height, width


def test_erased_shares_areas_and_shapes() -> None:
    found = holes(random_erasing(blank(), generator(), probability=0.5))
    erased = [hole for hole in found if hole.any()]
    assert 150 < len(erased) < 250
    areas = torch.tensor([height * width for height, width in map(sides, erased)]) / 24**2
    assert 0.015 < areas.min() < 0.05
    assert 0.28 < areas.max() < 0.36
    shapes = torch.tensor([width / height for height, width in map(sides, erased)])
    assert shapes.min() < 0.5
    assert shapes.max() > 2
    assert 0.4 < (shapes > 1).float().mean() < 0.6


def test_noise_of_erasing_is_normal_and_differs_from_image_to_image() -> None:
    result = random_erasing(blank(), generator(), probability=1)
    values = result[result != FAR]
    assert values.mean() == pytest.approx(0, abs=0.02)
    assert values.std() == pytest.approx(1, abs=0.02)
    assert len(values.unique()) > 0.95 * len(values)


def test_cutout_covers_up_to_half_a_side_with_even_noise() -> None:
    result = noise_cutout(blank(), generator())
    found = [sides(hole) for hole in holes(result)]
    assert max(height for height, _ in found) == max(width for _, width in found) == 12
    assert min(height for height, _ in found) == min(width for _, width in found) == 6
    values = result[result != FAR]
    assert values.min() >= 0
    assert values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_probability(probability: float) -> None:
    erased = holes(random_erasing(blank(), generator(), probability=probability)).any((1, 2)).float().mean()
    assert erased == pytest.approx(probability, abs=0.08 if 0 < probability < 1 else 0)


def test_off_draws_nothing() -> None:
    draws = generator()
    images = blank(4)
    assert random_erasing(images, draws, probability=0) is images
    assert torch.equal(draws.get_state(), generator().get_state())


@settings(max_examples=30, deadline=None)
@given(images=batches(), seed=st.integers(0, 9))
def test_any_batch(images: Tensor, seed: int) -> None:
    ready = images.float()
    for erase in (random_erasing, noise_cutout):
        result = erase(ready, generator(seed))
        assert result.shape == ready.shape
        assert torch.equal(ready, images.float())
        assert torch.equal(result, erase(ready, generator(seed)))


@pytest.mark.parametrize("erase", [random_erasing, noise_cutout])
def test_layout_and_type_are_kept_and_change_nothing(erase: Erase) -> None:
    images = noise(6).float()
    expected = erase(images, generator())
    last = erase(images.contiguous(memory_format=torch.channels_last), generator())
    assert torch.equal(last, expected)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert erase(images.bfloat16(), generator()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "value"), [("probability", 1.5), ("area", (0, 0.3)), ("area", (0.5, 0.3)), ("aspect", (0, 1))]
)
def test_bad_settings(name: str, value: object) -> None:
    with pytest.raises(InvalidInputError, match=f"`{name}` must be"):
        random_erasing(blank(2), generator(), **{name: value})


@pytest.mark.parametrize("erase", [random_erasing, noise_cutout])
def test_images_must_be_normalised(erase: Erase) -> None:
    with pytest.raises(InvalidInputError, match="`images` must be normalised floats"):
        erase(noise(), generator())
