"""Nothing here asserts how long anything takes: machines that run tests have other things to do."""

import math

import pytest
import torch

from nas.evaluation.memory import peak_memory_bytes
from nas.evaluation.step_time import StepTimer, interquartile_range
from nas.models import build_model
from nas.training.recipe import Recipe
from tests.stripes import space

REFERENCE = space.reference


@pytest.fixture
def timer(device):
    return StepTimer(REFERENCE, num_classes=3, in_channels=1, recipe=Recipe(batch_size=16), device=device)


def test_a_network_is_timed_against_the_reference(timer):
    large = space.decode({**space.references["small"], "s1_num_layers": 2, "s2_out_channels": 8})
    for spec in (large, REFERENCE):
        found = timer.measure(spec)
        for seconds in (found.step_time_s, found.relative_step_time):
            assert 0 < seconds < math.inf
        for spread in (found.step_time_spread_s, found.relative_step_time_spread):
            assert 0 <= spread < math.inf
        assert found.peak_memory_bytes is None or found.peak_memory_bytes >= 0
    assert 1 / 3 < found.relative_step_time < 3  # The reference against itself.


def test_timing_leaves_other_networks_alone(timer, device):
    """The network that is searched is never the one that is timed, even where both come from one spec."""
    model = build_model(REFERENCE, 3, 1).to(device)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    timer.measure(REFERENCE)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_quartiles_distance_by_hand():
    assert interquartile_range([1.0, 2.0, 3.0, 4.0, 5.0]) == 2.0
    assert interquartile_range([7.0] * 7) == 0.0


def test_peak_memory_sees_what_was_held_for_a_moment(device):
    size = 64 * 2**20

    def hold():
        torch.ones(size, dtype=torch.uint8, device=device)

    peak = peak_memory_bytes(hold, device)
    if peak is None:
        pytest.skip("this system does not tell")
    assert 0.9 * size < peak < 3 * size
    assert peak_memory_bytes(lambda: None, device) < 0.5 * size
