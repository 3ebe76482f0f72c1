import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.errors import InvalidInputError
from nas.optimization.pareto import pareto_front, pareto_mask


def brute_force(values, directions):
    costs = values * np.array([1 if d == "min" else -1 for d in directions])
    front = []
    for row in costs:
        beaten = any((other <= row).all() and (other < row).any() for other in costs)
        front.append(not beaten and not np.isnan(row).any())
    return np.array(front, dtype=bool)


# Few distinct values, so that ties in one, two and all objectives are common.
VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, -1.5, np.inf, -np.inf, np.nan])


@st.composite
def problems(draw):
    num_objectives = draw(st.integers(1, 5))
    values = draw(arrays(np.float64, (draw(st.integers(0, 30)), num_objectives), elements=VALUES))
    return values, draw(st.lists(st.sampled_from(["min", "max"]), min_size=num_objectives, max_size=num_objectives))


@given(problems())
@settings(max_examples=300, deadline=None)
def test_mask_equals_brute_force(problem):
    values, directions = problem
    np.testing.assert_array_equal(pareto_mask(values, directions), brute_force(values, directions))


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
def test_mask_equals_brute_force_on_continuous_values(num_objectives):
    values = np.random.default_rng(0).normal(size=(400, num_objectives))
    directions = ["max", "min", "min", "max"][:num_objectives]
    np.testing.assert_array_equal(pareto_mask(values, directions), brute_force(values, directions))


def test_equal_points_all_stay():
    assert pareto_mask(np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 3.0]]), ["max", "min"]).tolist() == [True, True, False]


def test_a_large_table_where_every_row_is_on_the_front():
    first, second = np.random.default_rng(0).random((2, 100_000))
    assert pareto_mask(np.column_stack([first, second, -first - second]), ["min", "min", "min"]).all()


@pytest.mark.parametrize(
    ("values", "directions"), [(np.zeros((3, 2)), ["max"]), (np.zeros(3), ["max"]), (np.zeros((3, 1)), ["up"])]
)
def test_bad_input_is_an_error(values, directions):
    with pytest.raises(InvalidInputError):
        pareto_mask(values, directions)


def test_front_of_a_table_is_sorted_by_the_first_objective_and_leaves_out_missing_values():
    frame = pd.DataFrame(
        {
            "accuracy": [0.5, 0.9, 0.7, 0.95, 0.4],
            "num_params": pd.array([10, 30, 20, None, 20], dtype="Int64"),
            "label": list("abcde"),
        }
    )
    front = pareto_front(frame, {"accuracy": "max", "num_params": "min"})
    assert front["label"].tolist() == ["b", "c", "a"]
    cheapest_first = pareto_front(frame, {"num_params": "min", "accuracy": "max"})
    assert cheapest_first["label"].tolist() == ["a", "c", "b"]


def test_front_of_an_unknown_column_is_an_error():
    with pytest.raises(InvalidInputError, match="accuracy"):
        pareto_front(pd.DataFrame({"accuracy": [1.0]}), {"acuracy": "max"})
