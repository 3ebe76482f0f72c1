import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.optimization.objectives import ACCURACY_MACS
from nas.results import mark_ties
from nas.results.ties import tie_words, winner_words
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


QUIET_TIME = {"relative_step_time_low": 1.0, "relative_step_time_high": 1.0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"reward": 0.773}, True),  # two standard errors of the difference are just above 0.028
        ({"reward": 0.771}, False),
        ({"reward": 0.771, "accuracy_stderr": 0.02}, True),
        ({"reward": 0.75, "relative_step_time_low": 0.5, "relative_step_time_high": 2.5}, True),  # 2.6% of the reward
    ],
)
def test_rewards_within_noise_of_the_best_tie_with_it(changes, expected):
    front = table(row(**QUIET_TIME), row(**QUIET_TIME | changes))
    assert mark_ties(front, front)["ties_with_best"].tolist() == [True, expected]


def test_a_front_says_in_words_what_noise_leaves_of_it():
    front = table(*(row(arch_id=str(n), reward=r, **QUIET_TIME) for n, r in enumerate([0.8, 0.79, 0.78, 0.7, 0.69])))
    front = front.assign(number=range(10, 15))
    marked = mark_ties(front, front)
    assert winner_words(marked) == [
        "Ranks 1 to 3 are within the noise of the best: S could be any of them.",
        "S, trial 10, may be dominated: another candidate is clearly worse in none of the objectives.",
    ]
    assert tie_words(marked)[-1] == "Of the front, 5 of 5 may be dominated, for all that was measured."
    assert winner_words(marked.assign(ties_with_best=[True, False, True, True, True]))[0].startswith("Ranks 1, 3 to 5 ")
    assert tie_words(marked.assign(is_tied=False, ties_with_best=[True, *[False] * 4])) == []
    assert tie_words(marked.iloc[:0]) == []


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


def test_a_front_without_step_times_is_judged_by_its_own_objectives():
    """Trials 0 and 1 are as accurate within the noise, 2 is not; 3 is far off and the cheapest."""
    run = run_in_memory(4)
    trials = run.trials.head(4).assign(
        arch_id=list("abcd"),
        state=pd.array(["measured"] * 4, dtype="string"),
        accuracy=[0.90, 0.895, 0.80, 0.50],
        accuracy_stderr=0.005,
        num_macs=[400, 300, 200, 100],
        relative_step_time=np.nan,
        reward=np.nan,
    )
    marked = mark_ties(trials, trials, ACCURACY_MACS)
    assert marked["is_tied"].tolist() == [True, False, False, False]
    assert marked["ties_with_best"].tolist() == [True, True, False, False]
    assert mark_ties(trials.iloc[:0], trials, ACCURACY_MACS).empty
