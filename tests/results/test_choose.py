import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InvalidInputError
from nas.results import knee, pareto_front, within

OBJECTIVES = {"accuracy": "max", "num_params": "min"}
FRAME = pd.DataFrame(
    {
        "accuracy": [0.5, 0.8, 0.9, 0.7, np.nan],
        "num_params": pd.array([10, 20, 90, 80, 5], dtype="Int64"),
        "label": list("abcde"),
    }
)


def test_within_keeps_rows_up_to_the_limits():
    assert within(FRAME, num_params=20)["label"].tolist() == ["a", "b", "e"]
    assert within(FRAME, num_params=80.0, accuracy=0.7)["label"].tolist() == ["a", "d"]
    assert within(FRAME, num_params=np.int64(1)).empty
    pd.testing.assert_frame_equal(within(FRAME), FRAME)


def test_within_leaves_out_rows_without_a_value():
    assert "e" not in within(FRAME, accuracy=1.0)["label"].tolist()
    assert within(pd.DataFrame({"count": pd.array([1, None], dtype="Int64")}), count=5).index.tolist() == [0]


def test_within_takes_a_column_of_any_name():
    frame = pd.DataFrame({"frame": [1.0, 2.0]})
    assert within(frame, frame=1.5).index.tolist() == [0]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"num_parms": 1}, "Did you mean 'num_params'"),
        ({"label": 1}, "one of numbers"),
        ({"num_params": None}, "a number"),
        ({"num_params": "20"}, "a number"),
        ({"num_params": True}, "a number"),
        ({"num_params": np.nan}, "a number"),
    ],
)
def test_limits_that_make_no_sense_are_errors(limits, message):
    with pytest.raises(InvalidInputError, match=message):
        within(FRAME, **limits)


def test_the_knee_is_where_the_front_bends():
    # Scaled distances to the best of both: a 1, b 0.28, c 1.
    assert knee(FRAME, OBJECTIVES)["label"] == "b"


def test_the_knee_of_equally_near_rows_is_the_best_in_the_first_objective():
    corners = FRAME.iloc[[0, 2]]
    assert knee(corners, OBJECTIVES)["label"] == "c"
    assert knee(corners, dict(reversed(OBJECTIVES.items())))["label"] == "a"


def test_the_knee_of_a_single_row_is_the_row():
    assert knee(FRAME.iloc[[3]], OBJECTIVES)["label"] == "d"


def test_rows_that_cannot_be_measured_by_distance_are_left_out_of_the_knee():
    endless = pd.concat([FRAME, pd.DataFrame({"accuracy": [np.inf], "num_params": [1], "label": ["f"]})])
    assert knee(endless, OBJECTIVES)["label"] == "b"


def test_a_table_without_a_whole_row_has_no_knee():
    for frame in (FRAME.iloc[[4]], FRAME.head(0)):
        with pytest.raises(InvalidInputError, match="all objectives"):
            knee(frame, OBJECTIVES)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=20),
    st.integers(-5, 5),
)
def test_the_knee_is_on_the_front_and_does_not_depend_on_units(rows, exponent):
    frame = pd.DataFrame(rows, columns=["accuracy", "num_params"])
    chosen = knee(frame, OBJECTIVES)
    assert chosen.name in pareto_front(frame, OBJECTIVES).index
    scaled = frame.assign(num_params=frame["num_params"] * 2.0**exponent)
    pd.testing.assert_series_equal(knee(scaled, OBJECTIVES)[["accuracy"]], chosen[["accuracy"]], check_dtype=False)
