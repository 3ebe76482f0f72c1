import copy

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import StochasticDepth

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.models import ARCH_NAMES, BuildOptions, EfficientNet, build_model, get_arch, get_options
from tests.models.test_zoo import NUM_PARAMS
from tests.strategies import arch_specs, build_options

TINY = ArchSpec(
    8, (StageSpec("fused", 1, 3, 1, 8, 2), StageSpec("mbconv", 4, 3, 2, 16, 3, 0.25)), 32, dropout=0.1, stem_stride=1
)
SIZES = ["s", pytest.param("m", marks=pytest.mark.slow), pytest.param("l", marks=pytest.mark.slow)]


def undropped(model: nn.Module) -> nn.Module:
    """Switch dropout and stochastic depth off, in our networks and in torchvision's."""
    for module in model.modules():
        if isinstance(module, StochasticDepth | nn.Dropout):
            module.p = 0.0
    return model


@pytest.mark.parametrize("name", ARCH_NAMES)
def test_parameters_of_the_built_networks(name):
    with torch.device("meta"):
        model = build_model(get_arch(name))
    assert sum(parameter.numel() for parameter in model.parameters()) == NUM_PARAMS[name]


@pytest.mark.parametrize("size", SIZES)
def test_logits_are_torchvisions(size):
    """Bitwise, with the state dict copied by name, in evaluation and in training; running statistics as well."""
    torch.manual_seed(0)
    theirs = undropped(getattr(torchvision.models, f"efficientnet_v2_{size}")())
    ours = undropped(build_model(get_arch(f"efficientnet_v2_{size}")))
    ours.load_state_dict(theirs.state_dict())
    for image_size in (64, 97):
        images = torch.randn(2, 3, image_size, image_size)
        with torch.no_grad():
            assert torch.equal(ours.eval()(images), theirs.eval()(images))
            assert torch.equal(ours.train()(images), theirs.train()(images))
    for (name, mine), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(mine, other), name


@pytest.mark.parametrize("size", ["s", "m", "l"])
def test_dropout_and_stochastic_depth_are_torchvisions(size):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"efficientnet_v2_{size}")()
        ours = build_model(get_arch(f"efficientnet_v2_{size}"))
    for kind in (StochasticDepth, nn.Dropout):
        probabilities = [[m.p for m in model.modules() if isinstance(m, kind)] for model in (ours, theirs)]
        assert probabilities[0] == pytest.approx(probabilities[1])
        assert len(probabilities[0]) > 0


def load_by_position(model: nn.Module, peer: nn.Module) -> None:
    """Names differ from timm's, order does not."""
    pairs = zip(model.state_dict(), peer.state_dict().values(), strict=True)
    model.load_state_dict({name: value for name, value in pairs})  # noqa: C416


TIMM = [
    ("s", "efficientnetv2_s", {"bn_eps": 1e-3}, BuildOptions()),
    ("s", "efficientnetv2_s", {}, get_options("timm")),
    ("s", "tf_efficientnetv2_s", {}, get_options("timm_tf")),
    ("b0", "tf_efficientnetv2_b0", {}, get_options("timm_tf")),
    *(
        pytest.param(size, f"tf_efficientnetv2_{size}", {}, get_options("timm_tf"), marks=pytest.mark.slow)
        for size in ("b1", "b2", "b3", "m", "l", "xl")
    ),
]


@pytest.mark.parametrize(("size", "name", "extra", "options"), TIMM)
def test_logits_are_timms(size, name, extra, options):
    """Bitwise, at sides that are even throughout, odd throughout, and mixed."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.create_model(name, **extra).eval()
    ours = build_model(get_arch(f"efficientnet_v2_{size}"), options=options).eval()
    load_by_position(ours, theirs)
    for sides in ((64, 64), (65, 65), (98, 75)):
        images = torch.randn(2, 3, *sides)
        with torch.no_grad():
            assert torch.equal(ours(images), theirs(images)), sides


def test_padding_and_epsilon_change_what_is_computed():
    """So that the equalities above mean something."""
    torch.manual_seed(0)
    networks = [build_model(get_arch("efficientnet_v2_b0"), options=get_options(n)) for n in ("google", "timm")]
    for network in networks:
        network.load_state_dict(networks[0].state_dict())
    plain = build_model(get_arch("efficientnet_v2_b0"))
    plain.load_state_dict(networks[0].state_dict())
    with torch.no_grad():
        for size, same_padding in ((64, False), (65, True)):
            images = torch.randn(2, 3, size, size)
            same, epsilon, default = (model.eval()(images) for model in (*networks, plain))
            assert torch.equal(same, default) == same_padding
            assert not torch.equal(epsilon, default)


def test_torchvisions_initialisation_is_torchvisions():
    torch.manual_seed(0)
    theirs = torchvision.models.efficientnet_v2_s()
    torch.manual_seed(0)
    ours = build_model(get_arch("efficientnet_v2_s"), options=get_options("torchvision"))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_options_reach_every_batch_norm_and_are_kept():
    options = BuildOptions(norm_eps=1e-4, norm_momentum=0.02)
    model = build_model(TINY, 10, options=options)
    assert model.options == options
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 2 + 2 + 3 * 3
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-4, 0.02)}


@pytest.mark.parametrize("value", [None, "google", {"padding": "same"}])
def test_options_are_options(value):
    with pytest.raises(InvalidInputError, match="`options` must be BuildOptions"):
        build_model(TINY, options=value)


@settings(max_examples=30, deadline=None)
@given(arch_specs(max_channels=16, max_layers=2), build_options(), st.integers(1, 40), st.integers(1, 40))
def test_any_network_keeps_its_shapes_with_any_options(spec, options, height, width):
    model = build_model(spec, num_classes=3, in_channels=2, options=options).eval()
    images = torch.randn(2, 2, height, width)
    sides = (-(-height // spec.total_stride), -(-width // spec.total_stride))
    assert model.features(images).shape == (2, spec.head_channels, *sides)
    assert model(images).shape == (2, 3)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_a_network_can_be_exported(padding):
    model = build_model(TINY, 10, options=BuildOptions(padding=padding)).eval()
    images = torch.randn(4, 3, 24, 24)
    exported = torch.export.export(model, (images[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert torch.equal(exported.module()(images), model(images))


@settings(max_examples=15, deadline=None)
@given(arch_specs(max_channels=16, max_layers=2))
def test_any_network_trains_one_step(spec):
    model = build_model(spec, num_classes=3, in_channels=2)
    logits = model(torch.randn(4, 2, 12, 12))
    assert logits.shape == (4, 3)
    logits.logsumexp(1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_overrides_take_the_place_of_the_specs():
    model = build_model(TINY, 10, dropout=0.5, stochastic_depth=0.4)
    assert isinstance(model, EfficientNet)
    assert model.classifier[0].p == 0.5
    probabilities = [m.p for m in model.modules() if isinstance(m, StochasticDepth)]
    assert probabilities == pytest.approx([0.4 * index / 5 for index in range(5)])
    assert (model.spec.dropout, model.spec.stochastic_depth) == (0.5, 0.4)
    assert (build_model(TINY, 10).spec.dropout, TINY.dropout) == (0.1, 0.1)
    assert build_model(TINY, 10, dropout=0.0).classifier[0].p == 0.0


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "10", None])
@pytest.mark.parametrize("name", ["num_classes", "in_channels"])
def test_counts_are_integers_from_one(name, value):
    with pytest.raises(InvalidInputError, match=f"`{name}` must be an integer of at least 1"):
        build_model(TINY, **{name: value})


@pytest.mark.parametrize("name", ["dropout", "stochastic_depth"])
def test_probabilities_are_checked(name):
    with pytest.raises(InvalidInputError, match=f"`{name}` must be a number from 0"):
        build_model(TINY, **{name: 1.0})


def test_a_network_of_terabytes_is_refused_before_anything_is_built():
    huge = ArchSpec(16_384, (StageSpec("fused", 64, 31, 1, 16_384, 256),), 16_384)
    with pytest.raises(InvalidInputError, match="at most 4,000,000,000 parameters"):
        build_model(huge)
    with pytest.raises(InvalidInputError, match="at most 4,000,000,000 parameters"):
        build_model(TINY, num_classes=10**12)


def test_initialisation_is_the_released_codes():
    torch.manual_seed(0)
    model = build_model(get_arch("efficientnet_v2_b0"), num_classes=100)
    depthwise = torch.cat([m.weight.flatten() for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1])
    assert depthwise.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.02)
    head = model.features[-1][0].weight
    assert head.std().item() == pytest.approx((2 / 1280) ** 0.5, rel=0.02)
    dense = model.classifier[1]
    assert dense.weight.abs().max().item() == pytest.approx(0.1, rel=0.01)
    assert not dense.bias.any()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert not module.bias.any()
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            assert not module.bias.any()


def test_the_same_seed_gives_the_same_network():
    def build() -> nn.Module:
        torch.manual_seed(3)
        return build_model(TINY, 10)

    for first, second in zip(build().parameters(), build().parameters(), strict=True):
        assert torch.equal(first, second)


def test_a_network_can_be_copied():
    model = build_model(TINY, 10).eval()
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(copy.deepcopy(model)(images), model(images))
