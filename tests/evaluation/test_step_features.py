import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.complexity import complexity
from nas.evaluation.step_features import FEATURES, StepShape, step_features
from tests.strategies import arch_specs

SHAPE = StepShape(batch_size=8, num_classes=10, in_channels=3)
COUNTS = ("fixed", "num_norm_convs", "num_dense_layers", "num_params")


def named(spec, shape=SHAPE):
    return dict(zip(FEATURES, step_features(spec, shape).tolist(), strict=True))


def deepened(spec, index):
    stages = list(spec.stages)
    stages[index] = replace(stages[index], num_layers=stages[index].num_layers + 1)
    return replace(spec, stages=tuple(stages))


@settings(max_examples=40, deadline=None)
@given(arch_specs())
def test_they_add_up_to_what_the_network_costs(spec):
    found, cost = named(spec), complexity(spec, num_classes=10, in_channels=3)
    macs = sum(found[f"{kind}_macs"] for kind in ("spatial", "pointwise", "depthwise", "dense"))
    assert macs == SHAPE.batch_size * cost.num_macs
    assert found["num_params"] == cost.num_params
    squeezed = sum(b.se_channels + b.hidden_channels for b in spec.blocks() if b.se_channels)
    assert found["normalised_values"] == SHAPE.batch_size * (cost.num_activations - squeezed - 10)


@settings(max_examples=40, deadline=None)
@given(arch_specs())
def test_none_is_negative_and_parts_are_at_most_wholes(spec):
    found = named(spec)
    assert min(found.values()) >= 0
    assert found["activated_values"] <= found["normalised_values"]
    assert found["depthwise_values"] <= found["normalised_values"]
    assert found["spatial_macs"] <= found["spatial_macs_by_8"] <= found["spatial_macs_by_16"]
    assert found["pointwise_macs"] <= found["pointwise_macs_by_16"]
    assert found["normalised_values"] <= found["normalised_values_by_8"]


@settings(max_examples=40, deadline=None)
@given(arch_specs(), st.integers(2, 5))
def test_all_but_counts_grow_with_the_batch(spec, factor):
    one, more = named(spec), named(spec, replace(SHAPE, batch_size=SHAPE.batch_size * factor))
    assert more == {name: value * (1 if name in COUNTS else factor) for name, value in one.items()}


@settings(max_examples=40, deadline=None)
@given(arch_specs(), st.data())
def test_a_deeper_stage_has_no_smaller_feature(spec, data):
    index = data.draw(st.integers(0, len(spec.stages) - 1))
    more, less = step_features(deepened(spec, index), SHAPE), step_features(spec, SHAPE)
    assert (more >= less).all()
    assert more[FEATURES.index("num_norm_convs")] > less[FEATURES.index("num_norm_convs")]


@settings(max_examples=40, deadline=None)
@given(arch_specs(max_layers=2), st.data())
def test_layers_add_what_they_add_however_many_there_are(spec, data):
    index = data.draw(st.integers(0, len(spec.stages) - 1))
    once = deepened(spec, index)
    twice = deepened(once, index)
    first, second = (step_features(s, SHAPE) for s in (once, twice))
    np.testing.assert_array_equal(second - first, step_features(deepened(twice, index), SHAPE) - second)


def test_one_block_by_hand():
    """A stem of 8 channels at 16x16, one MBConv2 with stride 2 to 8 channels, a head of 16."""
    spec = ArchSpec(8, (StageSpec("mbconv", 2, 3, 2, 8, 1, 0.25),), 16, stem_stride=1, train_image_size=16)
    found = named(spec, StepShape(1, num_classes=5, in_channels=3))
    assert found == {
        "fixed": 1,
        "num_norm_convs": 5,
        "num_dense_layers": 3,
        "spatial_macs": 256 * 27 * 8,
        "spatial_macs_by_8": 256 * 9 * 8 * 8,
        "spatial_macs_by_16": 256 * 9 * 16 * 16,
        "pointwise_macs": 256 * 8 * 16 + 64 * 16 * 8 + 64 * 8 * 16,
        "pointwise_macs_by_16": (256 + 64 + 64) * 16 * 16,
        "depthwise_macs": 64 * 9 * 16,
        "dense_macs": 16 * 2 + 2 * 16 + 16 * 5,
        "read_values": 256 * 3 + 256 * 8 + 256 * 16 + 64 * 16 + 64 * 8,
        "normalised_values": 256 * 8 + 256 * 16 + 64 * 16 + 64 * 8 + 64 * 16,
        "normalised_values_by_8": 256 * 8 + 256 * 16 + 64 * 16 + 64 * 8 + 64 * 16,
        "depthwise_values": 64 * 16,
        "activated_values": 256 * 8 + 256 * 16 + 64 * 16 + 64 * 16,
        "squeezed_values": 64 * 16,
        "added_values": 0,
        "num_params": complexity(spec, num_classes=5, in_channels=3).num_params,
    }


def test_the_image_size_is_the_networks_unless_it_is_given():
    spec = ArchSpec(8, (StageSpec("fused", 1, 3, 1, 8, 1),), 16, train_image_size=32)
    assert named(spec) == named(replace(spec, train_image_size=99), replace(SHAPE, image_size=32))
    assert named(spec)["spatial_macs"] < named(spec, replace(SHAPE, image_size=64))["spatial_macs"]


@pytest.mark.parametrize("name", ["batch_size", "num_classes", "in_channels", "image_size"])
def test_shapes_that_no_step_has(name):
    with pytest.raises(InvalidInputError, match=f"`{name}` must be at least 1"):
        replace(SHAPE, **{name: 0})


def test_they_need_no_torch():
    code = "import sys, nas.evaluation.device_profile, nas.evaluation.design; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
