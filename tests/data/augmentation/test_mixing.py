"""MixUp and CutMix: what is mixed with what, and what the targets say."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.nn import functional

from nas.data.augmentation import mix
from nas.data.augmentation.mixing import _draw_beta
from nas.errors import InvalidInputError
from tests.data.augmentation.making import generator, noise


def marked(num_images: int, channels: int = 3, height: int = 16, width: int = 20) -> tuple[Tensor, Tensor]:
    """Images that hold their own number everywhere, each of a class of its own."""
    numbers = torch.arange(num_images)
    return numbers.float().view(-1, 1, 1, 1).expand(-1, channels, height, width).contiguous(), numbers


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_mixup_weighs_images_and_targets_alike(alpha: float) -> None:
    images, labels = marked(10)
    mixed, targets = mix(images, labels, 10, generator(), mixup_alpha=alpha)
    own = targets[labels, labels]
    assert (own >= 0.5).all()
    assert torch.allclose(targets[labels, 9 - labels], 1 - own)
    assert torch.allclose(mixed, (own * labels + (1 - own) * (9 - labels)).view(-1, 1, 1, 1).expand_as(mixed))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_cutmix_targets_count_pixels(alpha: float) -> None:
    images, labels = marked(40)
    mixed, targets = mix(images, labels, 40, generator(), cutmix_alpha=alpha)
    is_own = mixed == images
    assert ((mixed == images.flip(0)) | is_own).all()
    assert torch.allclose(targets[labels, labels], is_own.float().mean((1, 2, 3)))
    assert torch.allclose(targets[labels, 39 - labels], 1 - is_own.float().mean((1, 2, 3)))
    for patch in ~is_own:
        rows, columns = patch[0].any(1).sum(), patch[0].any(0).sum()
        assert patch.sum() == 3 * rows * columns


def test_with_both_each_half_is_mixed_in_its_own_way() -> None:
    images, labels = marked(20)
    mixed, targets = mix(images, labels, 20, generator(), mixup_alpha=1, cutmix_alpha=1)
    assert (targets[:10, 10:] == 0).all()
    assert (targets[10:, :10] == 0).all()
    assert all(len(image.unique()) == 1 for image in mixed[:10])
    assert mixed[:10].frac().ne(0).any()
    assert (mixed[10:].frac() == 0).all()
    assert (mixed[10:] != images[10:]).any()


def test_off_draws_nothing() -> None:
    images, labels = marked(6)
    draws = generator()
    mixed, targets = mix(images, labels, 8, draws)
    assert mixed is images
    assert torch.equal(targets, functional.one_hot(labels, 8).float())
    assert torch.equal(draws.get_state(), generator().get_state())


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 7), st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9)),
    alphas=st.tuples(*[st.sampled_from([0.0, 0.001, 0.067, 0.5, 20.0])] * 2),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_any_batch(
    shape: tuple[int, int, int, int], alphas: tuple[float, float], dtype: torch.dtype, seed: int
) -> None:
    images = noise(*shape).to(dtype)
    labels = torch.randint(0, 5, shape[:1], generator=generator(seed))
    mixup, cutmix = alphas
    mixed, targets = mix(images, labels, 5, generator(seed), mixup_alpha=mixup, cutmix_alpha=cutmix)
    assert mixed.shape == images.shape
    assert mixed.dtype == dtype
    assert mixed.isfinite().all()
    assert targets.shape == (shape[0], 5)
    assert (targets >= 0).all()
    assert targets.sum(1).tolist() == pytest.approx([1] * shape[0], abs=1e-6)
    again = mix(images, labels, 5, generator(seed), mixup_alpha=mixup, cutmix_alpha=cutmix)
    assert torch.equal(mixed, again[0])
    assert torch.equal(targets, again[1])


def test_weights_differ_within_a_batch() -> None:
    images, labels = marked(64)
    _, targets = mix(images, labels, 64, generator(), mixup_alpha=1)
    assert len(targets[labels, labels].unique()) > 60


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_weights_are_drawn_from_beta(alpha: float) -> None:
    assert stats.kstest(_draw_beta(alpha, 2000, generator()), stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_layout_is_kept() -> None:
    images, labels = marked(6)
    last = images.contiguous(memory_format=torch.channels_last)
    for alphas in ({"mixup_alpha": 1.0}, {"cutmix_alpha": 1.0}, {"mixup_alpha": 1.0, "cutmix_alpha": 1.0}):
        mixed, _ = mix(last, labels, 6, generator(), **alphas)
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(mixed, mix(images, labels, 6, generator(), **alphas)[0])


@pytest.mark.parametrize("alpha", [-0.1, math.nan])
@pytest.mark.parametrize("name", ["mixup_alpha", "cutmix_alpha"])
def test_alpha_must_be_a_number(name: str, alpha: float) -> None:
    with pytest.raises(InvalidInputError, match=f"`{name}` must be a number of at least 0"):
        mix(*marked(4), 4, generator(), **{name: alpha})


def test_images_must_be_normalised() -> None:
    with pytest.raises(InvalidInputError, match="`images` must be normalised floats"):
        mix(noise(4), torch.arange(4), 4, generator(), mixup_alpha=1)
