"""The rendering: a pure function of images and settings."""

import dataclasses

import numpy as np
import pytest

from nas.data import rendering as rendering_module
from nas.data.rendering import Rendering, render
from nas.errors import InvalidInputError

OFF = Rendering(
    rotation_degrees=0,
    scale_min=1,
    scale_max=1,
    shift_fraction=0,
    clutter=0,
    occlusion=0,
    contrast_min=1,
    invert_probability=0,
    noise=0,
)
ALL_ON = Rendering(occlusion=0.4)


def blobs(number: int, seed: int = 0) -> np.ndarray:
    """Draw grey rectangles on black: objects that fill a good part of their frame."""
    rng = np.random.default_rng(seed)
    images = np.zeros((number, 28, 28), dtype=np.uint8)
    for image in images:
        top, left, height, width = rng.integers((4, 4, 8, 8), (9, 9, 16, 16))
        image[top : top + height, left : left + width] = rng.integers(100, 256, (height, width))
    return images


def test_everything_off_is_a_centred_copy() -> None:
    images = blobs(5)
    canvas = render(images, OFF)
    assert canvas.shape == (5, 1, 32, 32)
    assert canvas.dtype == np.uint8
    assert np.array_equal(canvas[:, 0, 2:-2, 2:-2], images)
    assert canvas.sum() == images.sum()


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_same_images_in_any_batch_size(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    images, clutter = blobs(300), blobs(20, seed=1)
    expected = render(images, ALL_ON, clutter)
    monkeypatch.setattr(rendering_module, "_BATCH", batch)
    assert np.array_equal(render(images, ALL_ON, clutter), expected)


def test_an_image_does_not_depend_on_those_after_it() -> None:
    images, clutter = blobs(300), blobs(20, seed=1)
    assert np.array_equal(render(images[:150], ALL_ON, clutter), render(images, ALL_ON, clutter)[:150])


def test_arguments_are_left_alone() -> None:
    images = blobs(20)
    before = images.copy()
    render(images, ALL_ON)
    assert np.array_equal(images, before)


@pytest.mark.parametrize(
    "change",
    [
        {"rotation_degrees": 45.0},
        {"scale_min": 0.5, "scale_max": 0.6},
        {"shift_fraction": 1.0},
        {"clutter": 1},
        {"occlusion": 0.5},
        {"contrast_min": 0.5},
        {"invert_probability": 0.5},
        {"noise": 0.1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_strength_does_something_seeded(change: dict[str, float]) -> None:
    images = blobs(50)
    settings = dataclasses.replace(OFF, **change)
    drawn = render(images, settings)
    assert np.array_equal(drawn, render(images, settings))
    assert not np.array_equal(drawn, render(images, OFF))
    assert not np.array_equal(drawn, render(images, dataclasses.replace(settings, seed=1)))


def test_scale_shrinks_the_object_by_its_square() -> None:
    images = np.full((200, 28, 28), 200, dtype=np.uint8)
    half = render(images, dataclasses.replace(OFF, scale_min=0.5, scale_max=0.5))
    assert half.sum() / images.sum() == pytest.approx(0.25, rel=0.02)


def test_shift_stays_on_the_canvas() -> None:
    images = np.full((500, 28, 28), 200, dtype=np.uint8)
    moved = render(images, dataclasses.replace(OFF, scale_min=0.5, scale_max=0.5, shift_fraction=1.0))
    assert moved.sum((1, 2, 3), dtype=float) == pytest.approx(200 * 14 * 14, rel=0.001)
    assert (moved[:, 0, 0].max(-1) > 0).any()
    assert (moved[:, 0, -1].max(-1) > 0).any()


def test_rotation_turns_about_the_centre() -> None:
    images = np.zeros((400, 28, 28), dtype=np.uint8)
    images[:, 4:24, 13:15] = 200  # an upright bar
    turned = render(images, dataclasses.replace(OFF, rotation_degrees=30.0))[:, 0].astype(float)
    y, x = np.mgrid[:32, :32] - 15.5
    mass = turned.sum((1, 2))
    assert (turned * x).sum((1, 2)) / mass == pytest.approx(0, abs=0.05)
    tilt = np.rad2deg(0.5 * np.arctan2(2 * (turned * x * y).sum((1, 2)), (turned * (y**2 - x**2)).sum((1, 2))))
    assert np.abs(tilt).max() == pytest.approx(30, abs=1.5)
    assert tilt.mean() == pytest.approx(0, abs=3)


def test_clutter_lies_under_the_object() -> None:
    images = np.zeros((100, 28, 28), dtype=np.uint8)
    images[:, 7:21, 7:21] = 128
    clutter = np.full((3, 28, 28), 255, dtype=np.uint8)
    drawn = render(images, dataclasses.replace(OFF, clutter=3), clutter)
    assert (drawn[:, 0, 9:23, 9:23] == 128).all()
    assert (drawn == 255).any((1, 2, 3)).all()


def test_noise_has_its_strength() -> None:
    grey = np.full((100, 28, 28), 128, dtype=np.uint8)
    drawn = render(grey, dataclasses.replace(OFF, noise=0.1))[:, 0, 2:-2, 2:-2]
    assert drawn.std() / 255 == pytest.approx(0.1, rel=0.02)
    assert drawn.mean() == pytest.approx(128, abs=0.5)


def test_inversion_maps_black_to_white() -> None:
    images = blobs(5)
    inverted = render(images, dataclasses.replace(OFF, invert_probability=1.0))
    assert np.array_equal(inverted, 255 - render(images, OFF))


@pytest.mark.parametrize(
    "change",
    [
        {"rotation_degrees": -1},
        {"scale_min": 0},
        {"scale_min": 0.9, "scale_max": 0.8},
        {"scale_max": 1.3},
        {"shift_fraction": 1.1},
        {"clutter": -1},
        {"clutter_size": 0},
        {"occlusion": 2},
        {"contrast_min": -0.1},
        {"invert_probability": 1.5},
        {"noise": -0.1},
        {"seed": -1},
    ],
)
def test_strengths_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match=f"`{next(iter(change))}` must be"):
        Rendering(**change)
