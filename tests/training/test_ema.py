import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nas import InvalidInputError
from nas.models import build_model
from nas.training.ema import WeightAverage


class Network(nn.Module):
    """A weight, a statistic and a counter."""

    def __init__(self, value: float = 0.0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value, dtype=dtype))
        self.register_buffer("mean", torch.tensor(-value, dtype=dtype))
        self.register_buffer("count", torch.tensor(0))

    def set(self, value: float, count: int) -> None:
        with torch.no_grad():
            self.weight.fill_(value)
            self.mean.fill_(-value)
            self.count.fill_(count)


def by_the_formula(values, decay):
    """Return the average of values of which the first is what a network began with."""
    average = values[0]
    for t, value in enumerate(values[1:], start=1):
        kept = min(decay, (1 + t) / (10 + t))
        average = kept * average + (1 - kept) * value
    return average


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=120), st.floats(0.01, 0.99999))
def test_weights_and_statistics_follow_the_formula_and_counters_are_copied(values, decay):
    model = Network(values[0])
    average = WeightAverage(model, decay)
    for count, value in enumerate(values[1:], start=1):
        model.set(value, count)
        average.update(model)
    found = average.averaged(model)
    assert found.weight.item() == pytest.approx(by_the_formula(values, decay), abs=1e-11)
    assert found.mean.item() == -found.weight.item()
    assert found.count.item() == average.num_updates == len(values) - 1


def test_single_precision_stays_near_the_formula():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(1001, generator=generator).tolist()
    model = Network(values[0], torch.float32)
    average = WeightAverage(model, 0.9999)
    for value in values[1:]:
        model.set(value, 0)
        average.update(model)
    assert average.averaged(model).weight.item() == pytest.approx(by_the_formula(values, 0.9999), abs=1e-6)


def test_the_averaged_network_is_a_copy_in_evaluation_mode(spec):
    model = build_model(spec, num_classes=2, in_channels=1)
    average = WeightAverage(model, 0.5)
    before = copy.deepcopy(model.state_dict())
    found = average.averaged(model)
    assert model.training
    assert not any(module.training for module in found.modules())
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(1)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    again = average.averaged(model).state_dict()
    assert all(torch.equal(again[name], value) for name, value in before.items())


def test_goes_on_from_its_state(spec):
    torch.manual_seed(0)
    networks = [build_model(spec, num_classes=2, in_channels=1) for _ in range(4)]
    whole, first, second = (WeightAverage(networks[0], 0.999) for _ in range(3))
    for average in (whole, first):
        average.update(networks[1])
        average.update(networks[2])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for average in (whole, second):
        average.update(networks[3])
    assert second.num_updates == 3
    found, wanted = second.state_dict(), whole.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_the_state_of_another_network_is_refused(spec):
    average = WeightAverage(build_model(spec, num_classes=2, in_channels=1), 0.999)
    with pytest.raises(InvalidInputError, match="`average` must be of the same network"):
        average.load_state_dict(WeightAverage(Network(), 0.999).state_dict())


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, float("nan")])
def test_a_decay_that_averages_nothing_is_refused(decay):
    with pytest.raises(InvalidInputError, match="`ema_decay` must be"):
        WeightAverage(Network(), decay)
