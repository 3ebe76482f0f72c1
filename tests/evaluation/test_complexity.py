"""What torch and fvcore count on the built network is what the closed form says; on `meta` nothing is computed."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.complexity import complexity
from nas.evaluation.complexity import build_on_meta, count_macs, count_params
from nas.models import build_model, get_arch
from search_spaces.efficientnet_v2 import space as large
from search_spaces.efficientnet_v2_tiny import space as tiny
from tests.strategies import arch_specs


def image(in_channels, size, device="meta"):
    return torch.zeros(1, in_channels, size, size, device=device)


def check(spec, num_classes, in_channels, image_size):
    model = build_on_meta(spec, num_classes, in_channels)
    cost = complexity(spec, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
    assert count_params(model) == cost.num_params
    assert count_macs(model, image(in_channels, image_size)) == cost.num_macs


@pytest.mark.parametrize("seed", range(4))
def test_networks_of_the_tiny_space(seed):
    check(tiny.decode(tiny.sample(seed)), 10, 1, 32)


def test_a_network_of_the_papers_space():
    check(large.decode(large.sample(0)), 100, 3, 64)


@pytest.mark.parametrize("size", ["s", "xl"])
def test_a_published_network(size):
    check(get_arch(f"efficientnet_v2_{size}"), 1000, 3, 300)


@settings(max_examples=20, deadline=None)
@given(arch_specs(max_stages=2, max_channels=16, max_layers=2), st.integers(1, 20), st.integers(1, 4))
def test_networks_of_any_kind(spec, num_classes, in_channels):
    check(spec, num_classes, in_channels, 24)


@pytest.mark.parametrize("seed", range(3))
def test_fvcore_and_torch_count_the_same(seed):
    spec = tiny.decode(tiny.sample(seed))
    by_fvcore = count_macs(build_model(spec, 10, 1), image(1, 32, "cpu"))
    assert by_fvcore == count_macs(build_on_meta(spec, 10, 1), image(1, 32))


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_network_as_it_was(training):
    model = build_model(tiny.reference, 10, 1).train(training)
    before = copy.deepcopy(model.state_dict())
    count_macs(model, torch.ones(1, 1, 32, 32))
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_network_on_meta_holds_nothing():
    model = build_on_meta(get_arch("efficientnet_v2_s"), 1000, 3)
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def test_frozen_parameters_are_not_counted():
    model = build_model(tiny.reference, 10, 1)
    everything = count_params(model)
    model.classifier.requires_grad_(False)
    assert count_params(model) == everything - (128 * 10 + 10)
