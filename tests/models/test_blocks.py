from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models.efficientnet import FusedMBConv as TorchvisionFused
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.efficientnet import MBConv as TorchvisionMBConv

from nas.models.blocks import FusedMBConv, MBConv
from nas.spec import BlockSpec, StageSpec
from tests.strategies import stage_specs

batch_norm = partial(nn.BatchNorm2d, eps=1e-3)
BLOCKS = {"mbconv": MBConv, "fused": FusedMBConv}


def first_block(stage: StageSpec, in_channels: int) -> BlockSpec:
    return next(iter(stage.blocks(in_channels)))


@settings(max_examples=40, deadline=None)
@given(stage_specs(), st.integers(1, 24), st.integers(1, 17))
def test_a_block_halves_rounding_up_and_has_the_channels_of_its_spec(stage, in_channels, size):
    spec = first_block(stage, in_channels)
    block = BLOCKS[spec.kind](spec).eval()
    out = block(torch.randn(2, in_channels, size, size))
    side = -(-size // spec.stride)
    assert out.shape == (2, spec.out_channels, side, side)


@pytest.mark.parametrize("expand_ratio", [1, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("out_channels", [8, 16])
@pytest.mark.parametrize("kind", ["mbconv", "fused"])
@pytest.mark.parametrize("training", [False, True])
def test_a_block_is_torchvisions(kind, expand_ratio, stride, out_channels, training):
    """Same names, same shapes, bitwise the same outputs; gradients are equal up to rounding."""
    se_ratio = 0.25 if kind == "mbconv" else 0.0
    spec = first_block(StageSpec(kind, expand_ratio, 3, stride, out_channels, 1, se_ratio), 8)
    ours = BLOCKS[kind](spec)
    if kind == "mbconv":
        theirs = TorchvisionMBConv(MBConvConfig(expand_ratio, 3, stride, 8, out_channels, 1), 0.0, batch_norm)
    else:
        theirs = TorchvisionFused(FusedMBConvConfig(expand_ratio, 3, stride, 8, out_channels, 1), 0.0, batch_norm)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 8, 9, 9)
    outputs = [block.train(training)(images) for block in (ours, theirs)]
    assert torch.equal(*outputs)
    for out in outputs:
        out.square().sum().backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-4 * other.grad.abs().max().item())


@pytest.mark.parametrize(
    ("stage", "kinds"),
    [
        (StageSpec("mbconv", 4, 3, 1, 8, 1, 0.25), ["conv", "conv", "se", "conv"]),
        (StageSpec("mbconv", 1, 3, 1, 8, 1, 0.25), ["conv", "se", "conv"]),
        (StageSpec("mbconv", 4, 3, 1, 8, 1), ["conv", "conv", "conv"]),
        (StageSpec("fused", 4, 3, 1, 8, 1), ["conv", "conv"]),
        (StageSpec("fused", 4, 3, 1, 8, 1, 0.25), ["conv", "se", "conv"]),
        (StageSpec("fused", 1, 3, 1, 8, 1), ["conv"]),
    ],
)
def test_the_layers_of_a_block(stage, kinds):
    spec = first_block(stage, 8)
    names = [type(layer).__name__ for layer in BLOCKS[spec.kind](spec).block]
    assert [{"ConvNorm": "conv", "SqueezeExcitation": "se"}[name] for name in names] == kinds


def test_the_projection_is_linear_and_the_single_convolution_is_not():
    linear = FusedMBConv(first_block(StageSpec("fused", 4, 3, 1, 8, 1), 8)).block[-1]
    active = FusedMBConv(first_block(StageSpec("fused", 1, 3, 1, 8, 1), 8)).block[-1]
    assert [type(layer) for layer in linear] == [nn.Conv2d, nn.BatchNorm2d]
    assert [type(layer) for layer in active] == [nn.Conv2d, nn.BatchNorm2d, nn.SiLU]


def test_batch_norm_is_that_of_the_released_code():
    norms = [
        m for m in MBConv(first_block(StageSpec("mbconv", 4, 3, 1, 8, 1), 8)).modules() if isinstance(m, nn.BatchNorm2d)
    ]
    assert len(norms) == 3
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.1)}


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    block = FusedMBConv(first_block(StageSpec("fused", 1, 3, 1, 4, 1), 4), drop_probability=0.25)
    images = torch.randn(2000, 4, 3, 3)
    kept = block.block(images).detach() / 0.75
    change = block(images).detach() - images
    dropped = (change == 0).flatten(1).all(1)
    assert torch.allclose(change[~dropped], kept[~dropped], atol=1e-5)
    assert 0.2 < dropped.float().mean() < 0.3
    assert not (block.eval()(images) == images).flatten(1).all(1).any()


def test_stochastic_depth_leaves_blocks_without_a_residual_alone():
    block = FusedMBConv(first_block(StageSpec("fused", 1, 3, 2, 4, 1), 4), drop_probability=0.9)
    images = torch.randn(8, 4, 4, 4)
    assert torch.equal(block(images), block.block(images))


def test_a_block_does_not_change_its_input():
    block = MBConv(first_block(StageSpec("mbconv", 4, 3, 1, 8, 1, 0.25), 8))
    images = torch.randn(2, 8, 5, 5)
    before = images.clone()
    block(images)
    assert torch.equal(images, before)
