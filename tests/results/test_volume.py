import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from optuna._hypervolume import compute_hypervolume

from nas.errors import InvalidInputError
from nas.results import hypervolume, pareto_front

# Few distinct values, so that ties in one, two and all objectives are common; 4 is the worst and adds nothing.
COARSE = st.integers(-4, 4).map(float)
FINE = st.floats(-4, 4, allow_subnormal=False)


@st.composite
def problems(draw, max_objectives=4):
    num_objectives = draw(st.integers(1, max_objectives))
    elements = draw(st.sampled_from([COARSE, FINE]))
    costs = draw(arrays(np.float64, (draw(st.integers(0, 25)), num_objectives), elements=elements))
    return costs, draw(st.lists(st.sampled_from(["min", "max"]), min_size=num_objectives, max_size=num_objectives))


def table(costs, directions):
    """The table of a problem, its objectives, and the reference point at a cost of 4 everywhere."""
    signs = np.array([1.0 if direction == "min" else -1.0 for direction in directions])
    names = [f"objective_{index}" for index in range(len(directions))]
    frame = pd.DataFrame(costs * signs, columns=names)
    return frame, dict(zip(names, directions, strict=True)), dict(zip(names, (4 * signs).tolist(), strict=True))


@given(problems())
@settings(max_examples=300, deadline=None)
def test_it_is_optunas(problem):
    costs, directions = problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = compute_hypervolume(costs, np.full(len(directions), 4.0))
    assert hypervolume(*table(costs, directions)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("num_objectives", [2, 3, 4])
def test_it_is_optunas_on_a_front_of_many_rows(num_objectives):
    points = np.abs(np.random.default_rng(0).normal(size=(120, num_objectives)))
    costs = 1 - points / np.linalg.norm(points, axis=1, keepdims=True)
    expected = compute_hypervolume(costs, np.full(num_objectives, 4.0))
    frame, objectives, point = table(costs, ["min", "max", "max", "min"][:num_objectives])
    assert len(pareto_front(frame, objectives)) == 120
    assert hypervolume(frame, objectives, point) == pytest.approx(expected, rel=1e-12)


@given(problems(max_objectives=3), st.randoms())
@settings(max_examples=100, deadline=None)
def test_rows_that_are_dominated_or_equal_or_elsewhere_in_the_table_change_nothing(problem, random):
    frame, objectives, point = table(*problem)
    whole = hypervolume(frame, objectives, point)
    assert hypervolume(pareto_front(frame, objectives), objectives, point) == pytest.approx(whole, abs=1e-9)
    order = random.sample(range(len(frame)), len(frame))
    doubled = pd.concat([frame.iloc[order], frame.iloc[order[:3]]])
    assert hypervolume(doubled, objectives, point) == pytest.approx(whole, abs=1e-9)


@given(problems(max_objectives=3), st.integers(0, 25))
@settings(max_examples=100, deadline=None)
def test_more_rows_are_never_worth_less(problem, count):
    frame, objectives, point = table(*problem)
    assert hypervolume(frame.head(count), objectives, point) <= hypervolume(frame, objectives, point) + 1e-9


def test_volumes_that_can_be_counted():
    objectives = {"accuracy": "max", "step_time_s": "min"}
    frame = pd.DataFrame({"accuracy": [0.5, 0.75], "step_time_s": [1.0, 2.0], "label": ["a", "b"]})
    assert hypervolume(frame, objectives, {"accuracy": 0.0, "step_time_s": 4.0}) == 0.5 * 3 + 0.25 * 2
    assert hypervolume(frame, {"step_time_s": "min"}, {"step_time_s": 4}) == 3


def test_rows_beyond_the_reference_point_or_with_a_missing_value_add_nothing():
    frame = pd.DataFrame({"accuracy": [0.5, 0.9, np.nan, 0.9], "num_params": pd.array([1, 9, 1, None], dtype="Int64")})
    objectives, point = {"accuracy": "max", "num_params": "min"}, {"accuracy": 0.0, "num_params": 3}
    assert hypervolume(frame, objectives, point) == 0.5 * 2
    assert hypervolume(frame.head(0), objectives, point) == 0
    assert hypervolume(frame, objectives, {"accuracy": 0.5, "num_params": 9}) == 0, "as good is not better"


def test_an_infinitely_good_row_has_an_infinite_volume():
    frame = pd.DataFrame({"a": [-math.inf, 1.0], "b": [1.0, 1.0]})
    assert hypervolume(frame, {"a": "min", "b": "min"}, {"a": 2, "b": 2}) == math.inf
    assert hypervolume(frame, {"a": "min", "b": "min"}, {"a": 2, "b": 1}) == 0, "it is no better in b"


@pytest.mark.parametrize(
    ("objectives", "point", "message"),
    [
        ({"accuracy": "max"}, {}, "reference_point"),
        ({"accuracy": "max"}, {"acuracy": 0}, "Did you mean 'accuracy'"),
        ({"accuracy": "max"}, {"accuracy": 0, "num_params": 1}, "reference_point"),
        ({"accuracy": "max"}, {"accuracy": math.nan}, "finite"),
        ({"accuracy": "up"}, {"accuracy": 0}, "direction"),
        ({"acuracy": "max"}, {"acuracy": 0}, "Did you mean 'accuracy'"),
        ({"arch": "max"}, {"arch": 0}, "one of numbers"),
        ({}, {}, "one or more columns"),
    ],
)
def test_what_does_not_fit_is_an_error(objectives, point, message):
    with pytest.raises(InvalidInputError, match=message):
        hypervolume(pd.DataFrame({"accuracy": [0.5], "arch": ["x"]}), objectives, point)
