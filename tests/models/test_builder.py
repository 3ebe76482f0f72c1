import copy

import pytest
import torch
import torchvision
from hypothesis import given, settings
from torch import nn
from torchvision.ops import StochasticDepth

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.models import ARCH_NAMES, EfficientNet, build_model, get_arch
from tests.models.test_zoo import NUM_PARAMS
from tests.strategies import arch_specs

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


def test_logits_are_timms():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.create_model("efficientnetv2_s", bn_eps=1e-3).eval()
    ours = build_model(get_arch("efficientnet_v2_s")).eval()
    # Names differ, order does not.
    pairs = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict({name: value for name, value in pairs})  # noqa: C416
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


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
