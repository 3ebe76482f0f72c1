"""RandAugment: which operations, how strong, for which images."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from nas.data.augmentation import colour, geometry, rand_augment
from nas.data.augmentation import randaugment as module
from nas.data.augmentation.randaugment import MOVES, OPERATIONS, OTHERS, TABLES, Draws
from nas.errors import InvalidInputError
from tests.data.augmentation.making import batches, generator, noise, scenes

RELEASED = {
    "autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "color", "contrast", "brightness",
    "sharpness", "shear_x", "shear_y", "translate_x", "translate_y", "cutout", "solarize_add",
}  # fmt: skip


def apply(name: str, images: Tensor, magnitude: float, sign: float = 1.0) -> Tensor:
    """Apply one operation to all images, at their middle if it has a place."""
    draws = Draws(
        torch.full((len(images),), sign, dtype=torch.float64),
        torch.full((len(images), 2), 0.5, dtype=torch.float64),
    )
    if name in MOVES:
        return geometry.move(images, MOVES[name](images, draws, magnitude / 10))
    if name in TABLES:
        return colour.look_up(images, TABLES[name](images, draws, magnitude / 10))
    return OTHERS[name](images, draws, magnitude / 10)


def full(images: Tensor, value: float) -> Tensor:
    return torch.full((len(images),), value, dtype=torch.float64)


def test_the_released_operations() -> None:
    assert set(OPERATIONS) == RELEASED
    assert len(OPERATIONS) == 16


@pytest.mark.parametrize("magnitude", [5, 25 / 3, 10, 15, 25])
def test_strengths_are_the_released_ones(magnitude: float) -> None:
    images = noise(2, 3, 30, 60)
    size, level = (30, 60), magnitude / 10
    moves = {
        "rotate": geometry.rotation(full(images, -30 * level), *size),
        "shear_x": geometry.shear_x(full(images, -0.3 * level)),
        "shear_y": geometry.shear_y(full(images, -0.3 * level)),
        "translate_x": geometry.translation_x(full(images, -20 * level)),
        "translate_y": geometry.translation_y(full(images, -10 * level)),
    }
    for name, expected in moves.items():
        assert torch.equal(apply(name, images, magnitude, -1), geometry.move(images, expected)), name
    factor = 1.8 * level + 0.1
    tables = {
        "posterize": colour.posterize(images, full(images, min(int(4 * level), 8))),
        "solarize": colour.solarize(images, full(images, int(256 * level))),
        "solarize_add": colour.solarize_add(images, full(images, int(110 * level))),
        "contrast": colour.contrast(images, full(images, factor)),
        "brightness": colour.brighten(images, full(images, factor)),
    }
    for name, table in tables.items():
        assert torch.equal(apply(name, images, magnitude), colour.look_up(images, table)), name
    assert torch.equal(apply("color", images, magnitude), colour.saturate(images, full(images, factor)))
    assert torch.equal(apply("sharpness", images, magnitude), colour.sharpen(images, full(images, factor)))


def test_holes_and_shifts_are_in_proportion_to_the_side() -> None:
    images = torch.zeros(1, 3, 30, 30, dtype=torch.uint8)
    assert (apply("cutout", images, 10) == geometry.FILL).sum() == 3 * 8 * 8  # 40 of 300 pixels to each side.
    assert (apply("translate_x", images, 10)[..., :10] == geometry.FILL).all()
    assert (apply("translate_x", images, 10)[..., 10:] == 0).all()


def test_magnitude_zero_keeps_a_bit() -> None:
    images = noise()
    assert apply("posterize", images, 0).unique().tolist() == [0, 128]


def test_colour_alone_leaves_grey_images() -> None:
    images = scenes(channels=1)
    assert torch.equal(apply("color", images, 15), images)
    assert not torch.equal(apply("contrast", images, 15), images)


def test_every_image_stays_in_its_place_and_gets_one_of_the_operations() -> None:
    images = scenes(60, 3, 24, 24, seed=2)
    others = [name for name in OPERATIONS if name != "cutout"]
    candidates = torch.stack([apply(name, images, 12, sign) for name in others for sign in (-1, 1)], dim=1)
    num_cut = 0
    for image, result, changed in zip(images, rand_augment(images, 12, generator(), 1), candidates, strict=True):
        if not (changed == result).all((1, 2, 3)).any():
            whole = (result != geometry.FILL).any(0)  # Cutout's place is drawn: what it leaves is compared.
            assert torch.equal(result[:, whole], image[:, whole])
            num_cut += 1
    assert num_cut < 10


def test_two_layers_are_one_after_the_other() -> None:
    images, draws = noise(), generator(3)
    once = rand_augment(images, 9, draws, num_layers=1)
    assert torch.equal(rand_augment(once, 9, draws, num_layers=1), rand_augment(images, 9, generator(3)))


def test_operations_signs_and_places_are_drawn_evenly() -> None:
    choice, draws = module._draw(8000, generator())
    assert chisquare(choice.bincount(minlength=16)).pvalue > 1e-3
    assert chisquare([(draws.sign == sign).sum() for sign in (-1, 1)]).pvalue > 1e-3
    assert chisquare(torch.histc(draws.place.float(), bins=10, min=0, max=1)).pvalue > 1e-3


def test_draws_differ_within_a_batch_and_repeat_with_the_generator() -> None:
    same = scenes(1).expand(64, -1, -1, -1).contiguous()
    first = rand_augment(same, 10, generator())
    assert len(first.unique(dim=0)) > 40
    assert torch.equal(first, rand_augment(same, 10, generator()))
    assert not torch.equal(first, rand_augment(same, 10, generator(1)))


@settings(max_examples=40, deadline=None)
@given(images=batches(), magnitude=st.floats(0, 100), layers=st.integers(1, 3), seed=st.integers(0, 9))
def test_any_batch(images: Tensor, magnitude: float, layers: int, seed: int) -> None:
    before = images.clone()
    result = rand_augment(images, magnitude, generator(seed), num_layers=layers)
    assert result.shape == images.shape
    assert result.dtype == torch.uint8
    assert torch.equal(images, before)


def test_no_images() -> None:
    assert rand_augment(noise(4)[:0], 10, generator()).shape == (0, 3, 20, 26)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_every_device_gives_the_same_batch() -> None:
    images = scenes(200)
    there = rand_augment(images.cuda(), 12.5, generator())
    assert there.is_cuda
    assert torch.equal(there.cpu(), rand_augment(images, 12.5, generator()))


@pytest.mark.parametrize("images", [noise().float(), noise()[0], noise(channels=2)])
def test_images_must_be_bytes(images: Tensor) -> None:
    with pytest.raises(InvalidInputError, match=r"`images` must be bytes \(N, C, H, W\)"):
        rand_augment(images, 10, generator())


@pytest.mark.parametrize("magnitude", [-1, 101, math.nan, math.inf])
def test_magnitude_must_be_on_the_scale(magnitude: float) -> None:
    with pytest.raises(InvalidInputError, match="`magnitude` must be between 0 and 100"):
        rand_augment(noise(), magnitude, generator())


def test_there_must_be_a_layer() -> None:
    with pytest.raises(InvalidInputError, match="`num_layers` must be at least 1"):
        rand_augment(noise(), 10, generator(), num_layers=0)
