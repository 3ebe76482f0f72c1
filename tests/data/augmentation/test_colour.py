"""Changes of colour against Pillow's, image by image."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional

from nas.data.augmentation import colour
from tests.data.augmentation.making import batches, flat, from_pillow, noise, scenes, to_pillow

BATCHES = [noise(), scenes(), scenes(channels=1), noise(1, 1, 33, 3), noise(3, 3, 2, 9), noise(2, 3, 1, 1), flat()]
FACTORS = [0.0, 0.1, 0.7, 1.0, 1.9, 4.6]

Change = Callable[[Tensor, Tensor], Tensor]


def table(make: Change) -> Change:
    return lambda images, strength: colour.look_up(images, make(images, strength))


ENHANCERS: list[tuple[Change, type[ImageEnhance._Enhance]]] = [
    (colour.saturate, ImageEnhance.Color),
    (table(colour.contrast), ImageEnhance.Contrast),
    (table(colour.brighten), ImageEnhance.Brightness),
    (colour.sharpen, ImageEnhance.Sharpness),
]


def by_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    return torch.stack([from_pillow(change(to_pillow(image))) for image in images])


def greatest_difference(a: Tensor, b: Tensor) -> int:
    assert a.dtype == b.dtype == torch.uint8
    assert a.shape == b.shape
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize("images", BATCHES)
def test_autocontrast_is_pillows(images: Tensor) -> None:
    # Pillow's product of floats can fall just short of a whole number.
    result = colour.look_up(images, colour.autocontrast(images))
    assert greatest_difference(result, by_pillow(images, ImageOps.autocontrast)) <= 1


@pytest.mark.parametrize("images", BATCHES)
def test_equalize_is_pillows(images: Tensor) -> None:
    result = colour.look_up(images, colour.equalize(images))
    assert torch.equal(result, by_pillow(images, ImageOps.equalize))


def test_equalize_of_a_larger_image_changes_it() -> None:
    images = scenes(4, 3, 40, 50)
    result = colour.look_up(images, colour.equalize(images))
    assert torch.equal(result, by_pillow(images, ImageOps.equalize))
    assert not torch.equal(result, images)


@pytest.mark.parametrize("images", BATCHES)
def test_invert_is_pillows(images: Tensor) -> None:
    assert torch.equal(colour.look_up(images, colour.invert(images)), by_pillow(images, ImageOps.invert))


@pytest.mark.parametrize("images", BATCHES)
@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_is_pillows(images: Tensor, bits: int) -> None:
    result = table(colour.posterize)(images, torch.full((len(images),), bits))
    assert torch.equal(result, by_pillow(images, lambda image: ImageOps.posterize(image, bits)))


@pytest.mark.parametrize("images", BATCHES)
@pytest.mark.parametrize("threshold", [0, 1, 128, 200, 255, 256])
def test_solarize_is_pillows(images: Tensor, threshold: int) -> None:
    result = table(colour.solarize)(images, torch.full((len(images),), threshold))
    assert torch.equal(result, by_pillow(images, lambda image: ImageOps.solarize(image, threshold)))


@pytest.mark.parametrize("addition", [0, 55, 110, 255])
def test_solarize_add_lightens_the_dark_half(addition: int) -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    expected = [min(value + addition, 255) if value < 128 else value for value in range(256)]
    assert table(colour.solarize_add)(values, torch.tensor([addition])).flatten().tolist() == expected


@pytest.mark.parametrize("images", BATCHES)
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("change", "enhancer"), ENHANCERS, ids=lambda value: getattr(value, "__name__", ""))
def test_enhancers_are_pillows(
    images: Tensor, factor: float, change: Change, enhancer: type[ImageEnhance._Enhance]
) -> None:
    result = change(images, torch.full((len(images),), factor))
    assert torch.equal(result, by_pillow(images, lambda image: enhancer(image).enhance(factor)))


@pytest.mark.parametrize("factor", [0.1, 1.9])
def test_enhancers_are_near_torchvisions(factor: float) -> None:
    images, factors = scenes(), torch.full((8,), factor)
    pairs = [
        (colour.saturate(images, factors), functional.adjust_saturation(images, factor)),
        (table(colour.contrast)(images, factors), functional.adjust_contrast(images, factor)),
        (table(colour.brighten)(images, factors), functional.adjust_brightness(images, factor)),
        (colour.sharpen(images, factors), functional.adjust_sharpness(images, factor)),
    ]
    for ours, theirs in pairs:
        assert greatest_difference(ours, theirs) <= 2


@settings(max_examples=20, deadline=None)
@given(images=batches())
def test_neutral_strengths_leave_every_image(images: Tensor) -> None:
    one = torch.ones(len(images))
    for change in (colour.saturate, colour.sharpen, table(colour.contrast), table(colour.brighten)):
        assert torch.equal(change(images, one), images)
    assert torch.equal(table(colour.posterize)(images, 8 * one), images)
    assert torch.equal(table(colour.solarize)(images, 256 * one), images)
    assert torch.equal(table(colour.solarize_add)(images, 0 * one), images)


@settings(max_examples=20, deadline=None)
@given(images=batches(), data=st.data())
def test_each_image_has_its_own_strength(images: Tensor, data: st.DataObject) -> None:
    number = len(images)
    factors = torch.tensor(data.draw(st.lists(st.floats(0, 5), min_size=number, max_size=number)))
    changes = {
        colour.saturate: factors,
        colour.sharpen: factors,
        table(colour.contrast): factors,
        table(colour.brighten): factors,
        table(colour.posterize): (factors + 1).floor(),
        table(colour.solarize): (50 * factors).floor(),
        table(colour.solarize_add): (50 * factors).floor(),
    }
    for change, strengths in changes.items():
        alone = [change(images[i : i + 1], strengths[i : i + 1]) for i in range(number)]
        assert torch.equal(change(images, strengths), torch.cat(alone))


@settings(max_examples=20, deadline=None)
@given(images=batches())
def test_what_an_image_becomes_does_not_depend_on_its_batch(images: Tensor) -> None:
    for make in (colour.autocontrast, colour.equalize, colour.invert):
        alone = [make(image[None]) for image in images]
        assert torch.equal(make(images), torch.cat(alone))
