import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.optimization.expected_improvement import expected_improvement
from nas.results.volume import dominated_volume

levels = st.integers(0, 8).map(lambda value: value / 4)


def volume(gains, costs, reference, reference_costs):
    return dominated_volume(np.column_stack([-gains, costs]), np.append(-reference, reference_costs))


@pytest.mark.parametrize("num_costs", [0, 1, 2])
@given(data=st.data())
def test_without_doubt_it_is_the_growth_of_the_hypervolume(data, num_costs):
    size = data.draw(st.integers(0, 6))
    gains, costs = (
        data.draw(arrays(float, size, elements=levels)),
        data.draw(arrays(float, (size, num_costs), elements=levels)),
    )
    gain, cost = data.draw(levels), data.draw(arrays(float, (1, num_costs), elements=levels))
    reference, reference_costs = 0.5, np.full(num_costs, 1.5)
    found = expected_improvement(np.array([gain]), np.zeros(1), cost, gains, costs, reference, reference_costs)
    grown = volume(np.append(gains, gain), np.concatenate([costs, cost]), reference, reference_costs)
    assert found[0] == pytest.approx(grown - volume(gains, costs, reference, reference_costs), abs=1e-9)


@pytest.mark.parametrize("num_costs", [0, 1, 2])
def test_with_doubt_it_is_the_mean_growth(num_costs):
    rng = np.random.default_rng(num_costs)
    gains, costs = rng.random(5), rng.random((5, num_costs))
    cost = np.full((1, num_costs), 0.3)
    reference, reference_costs = 0.1, np.ones(num_costs)
    found = expected_improvement(np.array([0.7]), np.array([0.2]), cost, gains, costs, reference, reference_costs)
    draws = rng.normal(0.7, 0.2, size=4_000)
    none = np.zeros(1)
    growth = [
        expected_improvement(np.array([draw]), none, cost, gains, costs, reference, reference_costs)[0]
        for draw in draws
    ]
    assert found[0] == pytest.approx(np.mean(growth), abs=4 * np.std(growth) / np.sqrt(len(draws)))


def test_more_doubt_is_worth_more_where_nothing_is_expected():
    found = expected_improvement(
        np.full(3, 0.4),
        np.array([0.01, 0.1, 0.2]),
        np.full((3, 1), 0.5),
        np.array([0.6]),
        np.array([[0.2]]),
        0.0,
        np.ones(1),
    )
    assert found[0] < 1e-9
    assert found[1] < found[2]


def test_what_is_dearer_than_the_reference_adds_nothing():
    found = expected_improvement(
        np.ones(1), np.ones(1), np.array([[2.0, 0.1]]), np.zeros(0), np.zeros((0, 2)), 0.0, np.ones(2)
    )
    assert found.tolist() == [0.0]
