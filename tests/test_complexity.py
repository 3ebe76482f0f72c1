import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.complexity import complexity, complexity_by_stage
from nas.models import build_model, get_arch
from tests.strategies import arch_specs

PUBLISHED_GMACS = [
    ("efficientnet_v2_s", 384, 8.366),
    ("efficientnet_v2_s", 300, 5.308),
    ("efficientnet_v2_s", 128, 0.934),
    ("efficientnet_v2_m", 480, 24.582),
    ("efficientnet_v2_m", 384, 15.737),
    ("efficientnet_v2_l", 480, 56.080),
    ("efficientnet_v2_l", 224, 12.231),
    ("efficientnet_v2_xl", 512, 93.353),
    ("efficientnet_v2_b0", 224, 0.718),
    ("efficientnet_v2_b0", 192, 0.528),
    ("efficientnet_v2_b1", 240, 1.197),
    ("efficientnet_v2_b2", 260, 1.698),
    ("efficientnet_v2_b3", 300, 3.011),
]


@pytest.mark.parametrize(("name", "image_size", "gmacs"), PUBLISHED_GMACS)
def test_gmacs_of_the_published_networks(name, image_size, gmacs):
    cost = complexity(get_arch(name), num_classes=1000, in_channels=3, image_size=image_size)
    assert cost.num_macs / 1e9 == pytest.approx(gmacs, abs=0.0005)


@settings(max_examples=40, deadline=None)
@given(arch_specs(), st.integers(1, 20), st.integers(1, 4), st.integers(1, 70))
def test_closed_form_equals_the_built_network(spec, num_classes, in_channels, image_size):
    written = 0

    def count_outputs(_module, _inputs, output):
        nonlocal written
        written += output.numel()

    with torch.device("meta"):
        model = build_model(spec, num_classes, in_channels).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(count_outputs)
        with FlopCounterMode(display=False) as flops:
            model(torch.empty(1, in_channels, image_size, image_size))
    cost = complexity(spec, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
    assert cost.num_params == sum(p.numel() for p in model.parameters())
    assert cost.num_macs * 2 == flops.get_total_flops()
    assert cost.num_activations == written


def test_a_network_small_enough_to_count_by_hand():
    spec = ArchSpec(2, (StageSpec("mbconv", 2, 3, 2, 4, 1, se_ratio=0.5),), 8, train_image_size=8)
    cost = complexity(spec, num_classes=10, in_channels=3)
    # Weights of stem, expansion, depthwise, two halves of squeeze-excitation, projection, head, classifier.
    assert cost.num_params == (54 + 4) + (8 + 8) + (36 + 8) + (4 + 1) + (4 + 4) + (16 + 8) + (32 + 16) + (80 + 10)
    # The same weights at 4x4 up to the depthwise convolution, which halves to 2x2; squeeze and classifier at one place.
    assert cost.num_macs == 54 * 16 + 8 * 16 + 36 * 4 + 4 + 4 + 16 * 4 + 32 * 4 + 80
    assert cost.num_activations == 2 * 16 + 4 * 16 + 4 * 4 + 1 + 4 + 4 * 4 + 8 * 4 + 10


@given(arch_specs(), st.integers(1, 70))
def test_stages_add_up_to_the_network(spec, image_size):
    sizes = {"num_classes": 5, "in_channels": 3, "image_size": image_size}
    stem, *stages, head = complexity_by_stage(spec, **sizes)
    whole = complexity(spec, **sizes)
    assert len(stages) == len(spec.stages)
    assert sum(part.num_params for part in (stem, *stages, head)) == whole.num_params
    assert sum(part.num_macs for part in (stem, *stages, head)) == whole.num_macs
    assert stem.num_params == 27 * spec.stem_channels + 2 * spec.stem_channels
    assert stem.size == -(-image_size // spec.stem_stride)
    assert head.size == stages[-1].size


def test_the_image_size_is_the_specs_training_size_unless_given():
    spec = get_arch("efficientnet_v2_s")
    assert complexity(spec, num_classes=10, in_channels=3) == complexity(
        spec, num_classes=10, in_channels=3, image_size=300
    )


@pytest.mark.parametrize("name", ["num_classes", "in_channels", "image_size"])
@pytest.mark.parametrize("value", [0, -3])
def test_numbers_below_one_are_refused(name, value):
    sizes = {"num_classes": 10, "in_channels": 3, "image_size": 32, name: value}
    with pytest.raises(InvalidInputError, match=f"`{name}` must be at least 1, got {value}"):
        complexity(get_arch("efficientnet_v2_b0"), **sizes)
