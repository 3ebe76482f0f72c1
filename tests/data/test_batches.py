"""Batches: order, augmentation and normalisation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.batches import augment, epoch_order, prepare
from nas.errors import InvalidInputError

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


def generator(seed: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def images(number: int = 16, channels: int = 3, height: int = 12, width: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (number, channels, height, width), dtype=torch.uint8, generator=generator(9))


def crop_by_hand(image: torch.Tensor, mirrored: bool, down: int, right: int, shift: int) -> torch.Tensor:
    image = image.flip(-1) if mirrored else image
    padded = torch.nn.functional.pad(image[None].float(), (shift,) * 4, mode="reflect")[0].to(image.dtype)
    _, height, width = image.shape
    return padded[:, shift + down : shift + down + height, shift + right : shift + right + width]


def test_order_holds_every_image_once(device: torch.device) -> None:
    order = epoch_order(100, generator(device=device))
    assert order.device.type == device.type
    assert sorted(order.tolist()) == list(range(100))
    assert torch.equal(order, epoch_order(100, generator(device=device)))
    assert not torch.equal(order, epoch_order(100, generator(1, device)))


def test_augment_is_reproducible_and_per_image(device: torch.device) -> None:
    same = images(1).expand(64, -1, -1, -1).contiguous().to(device)
    first = augment(same, generator(device=device), flip=True, shift=2)
    assert torch.equal(first, augment(same, generator(device=device), flip=True, shift=2))
    assert first.dtype == torch.uint8
    assert first.shape == same.shape
    assert len(first.unique(dim=0)) > 20


def test_a_cpu_generator_draws_the_same_everywhere(device: torch.device) -> None:
    batch = images()
    expected = augment(batch, generator(), flip=True, shift=3)
    assert torch.equal(augment(batch.to(device), generator(), flip=True, shift=3).cpu(), expected)


def test_every_result_is_a_mirrored_and_shifted_crop() -> None:
    batch, shift = images(40, height=9, width=14), 2
    moves = [(m, d, r) for m in (False, True) for d in range(-shift, shift + 1) for r in range(-shift, shift + 1)]
    seen = set()
    for image, result in zip(batch, augment(batch, generator(), flip=True, shift=shift), strict=True):
        matches = [move for move in moves if torch.equal(crop_by_hand(image, *move, shift), result)]
        assert len(matches) == 1
        seen.update(matches)
    assert {mirrored for mirrored, _, _ in seen} == {False, True}
    assert {down for _, down, _ in seen} == {right for _, _, right in seen} == set(range(-shift, shift + 1))


def test_off_is_off() -> None:
    batch = images()
    assert torch.equal(augment(batch, generator(), flip=False, shift=0), batch)
    shifted = augment(batch, generator(), flip=False, shift=1)
    assert not any(torch.equal(a.flip(-1), b) for a, b in zip(batch, shifted, strict=True))


@settings(max_examples=30, deadline=None)
@given(side=st.integers(2, 9), seed=st.integers(0, 99), data=st.data())
def test_no_shift_leaves_the_image(side: int, seed: int, data: st.DataObject) -> None:
    shift = data.draw(st.integers(0, side - 1))
    batch = images(5, 1, side, side)
    result = augment(batch, generator(seed), flip=True, shift=shift)
    for image, moved in zip(batch, result, strict=True):
        assert set(moved.unique().tolist()) <= set(image.unique().tolist())


@pytest.mark.parametrize("shift", [-1, 12])
def test_shift_must_be_within_the_image(shift: int) -> None:
    with pytest.raises(InvalidInputError, match="between 0 and 11"):
        augment(images(), generator(), flip=False, shift=shift)


def test_prepare_normalises_each_channel(device: torch.device) -> None:
    batch = images(200).to(device)
    values = batch.double() / 255
    mean, std = values.mean((0, 2, 3)).tolist(), values.std((0, 2, 3)).tolist()
    ready = prepare(batch, mean, std)
    assert ready.dtype == torch.float32
    assert ready.is_contiguous(memory_format=torch.channels_last)
    assert ready.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert ready.std((0, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=1e-4)


def test_prepare_leaves_its_argument_alone_and_sets_type_and_layout() -> None:
    batch = images()
    before = batch.clone()
    ready = prepare(batch, (0.5,) * 3, (0.2,) * 3, dtype=torch.bfloat16, memory_format=torch.contiguous_format)
    assert torch.equal(batch, before)
    assert ready.dtype == torch.bfloat16
    assert ready.is_contiguous()
    exact = prepare(batch, (0.5,) * 3, (0.2,) * 3)
    assert torch.allclose(ready.float(), exact, rtol=1e-2)


@pytest.mark.parametrize("size", [6, 12, 20])
def test_prepare_resizes(size: int) -> None:
    flat = torch.full((4, 1, 12, 12), 51, dtype=torch.uint8)
    ready = prepare(flat, (0.0,), (1.0,), image_size=size)
    assert ready.shape == (4, 1, size, size)
    assert ready.flatten().tolist() == pytest.approx([0.2] * ready.numel(), abs=1e-5)


def test_halving_averages_neighbours_rather_than_dropping_them() -> None:
    stripes = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    stripes[..., ::2] = 255
    ready = prepare(stripes, (0.0,), (1.0,), image_size=8)
    assert (ready - 0.5).abs().max() < 0.13
