"""Moves of the pixels against Pillow's, image by image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from nas.data.augmentation import geometry
from tests.data.augmentation.making import batches, from_pillow, noise, to_pillow

SIZES = [(20, 26), (33, 9), (32, 32), (1, 5), (1, 1)]


def by_pillow(images: Tensor, numbers: tuple[float, ...]) -> Tensor:
    """Move each image by the six numbers of Pillow's affine transform: what (x, y) of the result comes from."""
    fill = geometry.FILL if images.shape[1] == 1 else (geometry.FILL,) * 3
    moved = [
        to_pillow(image).transform(images.shape[:1:-1], Image.Transform.AFFINE, numbers, fillcolor=fill)
        for image in images
    ]
    return torch.stack([from_pillow(image) for image in moved])


def same(images: Tensor, value: float) -> Tensor:
    return torch.full((len(images),), value, dtype=torch.float64)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("degrees", [-75, -30, -12.5, 0, 1, 45, 180])
def test_rotation_is_pillows(channels: int, size: tuple[int, int], degrees: float) -> None:
    images = noise(3, channels, *size)
    fill = geometry.FILL if channels == 1 else (geometry.FILL,) * 3
    expected = torch.stack([from_pillow(to_pillow(image).rotate(degrees, fillcolor=fill)) for image in images])
    assert torch.equal(geometry.move(images, geometry.rotation(same(images, degrees), *size)), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [-0.75, -0.3, 0.0, 0.07, 0.45])
def test_shears_are_pillows(size: tuple[int, int], level: float) -> None:
    images = noise(3, 3, *size)
    along_x = geometry.move(images, geometry.shear_x(same(images, level)))
    along_y = geometry.move(images, geometry.shear_y(same(images, level)))
    assert torch.equal(along_x, by_pillow(images, (1, level, 0, 0, 1, 0)))
    assert torch.equal(along_y, by_pillow(images, (1, 0, 0, level, 1, 0)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pixels", [-40, -3.3, 0, 0.7, 2, 5])
def test_translations_are_pillows(size: tuple[int, int], pixels: float) -> None:
    images = noise(3, 3, *size)
    right = geometry.move(images, geometry.translation_x(same(images, pixels)))
    down = geometry.move(images, geometry.translation_y(same(images, pixels)))
    assert torch.equal(right, by_pillow(images, (1, 0, -pixels, 0, 1, 0)))
    assert torch.equal(down, by_pillow(images, (1, 0, 0, 0, 1, -pixels)))


def test_directions() -> None:
    image = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8)[None, None]
    one, most, fill = torch.ones(1), torch.tensor([0.9]), geometry.FILL

    def moved(moves: Tensor) -> list[list[int]]:
        return geometry.move(image, moves)[0, 0].tolist()

    assert moved(geometry.translation_x(one)) == [[fill, 1], [fill, 3]]
    assert moved(geometry.translation_y(one)) == [[fill, fill], [1, 2]]
    assert moved(geometry.rotation(90 * one, 2, 2)) == [[2, 4], [1, 3]]
    assert moved(geometry.shear_x(most)) == [[1, 2], [4, fill]]
    assert moved(geometry.shear_y(most)) == [[1, 4], [3, fill]]


@settings(max_examples=20, deadline=None)
@given(images=batches())
def test_neutral_strengths_leave_every_image(images: Tensor) -> None:
    zero, size = torch.zeros(len(images)), images.shape[2:]
    for moves in (
        geometry.rotation(zero, *size),
        geometry.shear_x(zero),
        geometry.shear_y(zero),
        geometry.translation_x(zero),
        geometry.translation_y(zero),
    ):
        assert torch.equal(geometry.move(images, moves), images)
    middle = torch.zeros(len(images), dtype=torch.int64)
    assert torch.equal(geometry.cutout(images, middle, middle, middle), images)


@settings(max_examples=20, deadline=None)
@given(images=batches(), data=st.data())
def test_each_image_moves_on_its_own(images: Tensor, data: st.DataObject) -> None:
    degrees = torch.tensor(data.draw(st.lists(st.floats(-90, 90), min_size=len(images), max_size=len(images))))
    moves = torch.cat((geometry.rotation(degrees[:2], *images.shape[2:]), geometry.shear_x(degrees[2:] / 90)))
    alone = [geometry.move(images[i : i + 1], moves[i : i + 1]) for i in range(len(images))]
    assert torch.equal(geometry.move(images, moves), torch.cat(alone))


def test_cutout_fills_a_square_up_to_the_edge() -> None:
    images = torch.zeros(3, 1, 6, 8, dtype=torch.uint8)
    result = geometry.cutout(images, torch.tensor([2, 1, 3]), torch.tensor([3, 0, 5]), torch.tensor([4, 0, 7]))
    expected = torch.zeros_like(images)
    expected[0, :, 1:5, 2:6] = expected[1, :, :1, :1] = expected[2, :, 2:, 4:] = geometry.FILL
    assert torch.equal(result, expected)
