import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.results import mark_ties
from tests.results.conftest import run_in_memory


def row(**changes):
    """A candidate with a noise of 0.01 in accuracy and 0.1 either way in relative step time."""
    plain = {
        "state": "measured",
        "arch_id": "mine",
        "accuracy": 0.8,
        "accuracy_stderr": 0.01,
        "num_params": 100,
        "reward": 0.8,
        "relative_step_time": 1.0,
        "relative_step_time_low": 0.9,
        "relative_step_time_high": 1.1,
        "relative_step_time_spread": 0.5,
        "timing_error_fraction": None,
    }
    return plain | changes


def table(*rows):
    floats = [name for name in row() if name not in ("state", "arch_id", "num_params")]
    return pd.DataFrame(rows).astype({"num_params": "Int64", "state": "string", **dict.fromkeys(floats, "float64")})


def is_tied(mine, *others):
    trials = table(mine, *others)
    return mark_ties(trials.head(1), trials)["is_tied"].tolist() == [True]


NO_INTERVAL = {"relative_step_time_low": None, "relative_step_time_high": None}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"num_params": 99}, True),
        ({"num_params": 101}, False),  # counted without noise
        ({"accuracy": 0.772}, True),  # two standard errors of the difference are 0.0283
        ({"accuracy": 0.771}, False),
        ({"accuracy": 0.771, "accuracy_stderr": 0.02}, True),
        ({"relative_step_time": 1.2, "relative_step_time_low": 1.09, "relative_step_time_high": 1.3}, True),
        ({"relative_step_time": 1.2, "relative_step_time_low": 1.11, "relative_step_time_high": 1.3}, False),
        ({"relative_step_time": 0.1, "relative_step_time_low": 0.09, "relative_step_time_high": 0.11}, True),
        ({"relative_step_time": 1.34, **NO_INTERVAL}, True),  # half of the spread is 0.25
        ({"relative_step_time": 1.36, **NO_INTERVAL}, False),
        ({"relative_step_time": 1.36, "timing_error_fraction": 0.1, **NO_INTERVAL}, True),
        ({"relative_step_time": 1.2, "timing_error_fraction": 0.01, **NO_INTERVAL}, False),
        ({"state": "failed"}, False),
        ({"arch_id": "mine"}, False),
    ],
)
def test_a_member_is_tied_with_whatever_may_dominate_it(changes, expected):
    assert is_tied(row(), row(**{"arch_id": "other", **changes})) is expected


def test_a_member_alone_is_not_tied():
    assert not is_tied(row())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_without_noise_only_what_is_dominated_or_equal_is_tied(values):
    quiet = {"accuracy_stderr": 0.0, "relative_step_time_spread": 0.0, **NO_INTERVAL}
    rows = [
        row(arch_id=str(i), accuracy=a, relative_step_time=t, num_params=p, **quiet)
        for i, (a, t, p) in enumerate(values)
    ]
    trials = table(row(), *rows).iloc[1:]
    expected = [
        any(j != i and b >= a and u <= t and q <= p for j, (b, u, q) in enumerate(values))
        for i, (a, t, p) in enumerate(values)
    ]
    assert mark_ties(trials, trials)["is_tied"].tolist() == expected


def test_the_front_of_a_run_keeps_its_rows_and_columns():
    run = run_in_memory(40)
    marks = ["is_tied", "ties_with_best"]
    assert run.pareto.columns.tolist() == [*run.trials.columns, *marks]
    assert run.pareto[marks].dtypes.astype(str).tolist() == ["boolean", "boolean"]
    pd.testing.assert_frame_equal(mark_ties(run.pareto, run.trials), run.pareto)
    pd.testing.assert_frame_equal(run.pareto.drop(columns=marks), run.trials.loc[run.pareto.index])
