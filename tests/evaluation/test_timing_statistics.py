import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.evaluation.timing_statistics import Effort, interquartile_range, median_interval, settled

seconds = st.floats(1e-6, 1e3)
several = st.lists(seconds, min_size=1, max_size=40)


@given(several)
def test_the_interval_holds_the_median_and_lies_among_the_values(values):
    found = median_interval(values)
    assert found.median == statistics.median(values)
    assert min(values) * (1 - 1e-12) <= found.low <= found.median <= found.high <= max(values) * (1 + 1e-12)
    assert median_interval(values) == found


@given(several, st.floats(1e-3, 1e3))
def test_the_interval_scales_with_its_values(values, factor):
    found, scaled = median_interval(values), median_interval([factor * value for value in values])
    for name in ("low", "median", "high"):
        assert getattr(scaled, name) == pytest.approx(factor * getattr(found, name), rel=1e-9)


@given(seconds, st.integers(1, 30))
def test_equal_values_leave_no_doubt(value, count):
    found = median_interval([value] * count)
    assert found.low == pytest.approx(value)
    assert found.high == pytest.approx(value)


def test_up_to_five_values_the_interval_is_their_range():
    found = median_interval([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (found.low, found.median, found.high) == (1.0, 3.0, 5.0)


def test_the_interval_covers_the_true_median_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    intervals = [median_interval(random.lognormal(0, 0.05, 9).tolist()) for _ in range(400)]
    covered = sum(found.low <= 1 <= found.high for found in intervals)
    assert 0.90 <= covered / 400 <= 0.995


@given(st.lists(seconds, min_size=1, max_size=30), st.floats(0, 10), st.integers(2, 8), st.integers(0, 10))
def test_timing_stops_within_its_caps(ratios, timed_s, min_blocks, more):
    effort = Effort(min_blocks=min_blocks, max_blocks=min_blocks + more, max_s=5)
    enough = effort.enough(ratios, timed_s)
    if len(ratios) < effort.min_blocks:
        assert not enough
    elif len(ratios) >= effort.max_blocks or timed_s >= effort.max_s:
        assert enough
    else:
        assert enough == effort.met(ratios)


@given(st.lists(seconds, min_size=5, max_size=20), st.floats(0.001, 0.5))
def test_a_target_that_is_met_is_met_for_any_unit_and_any_looser_target(ratios, target):
    interval = median_interval(ratios)
    half = (interval.high - interval.low) / 2 / interval.median
    assume(abs(half - target) > 1e-9)
    met = Effort(target=target).met(ratios)
    assert met == (half <= target)
    assert Effort(target=target).met([1000 * ratio for ratio in ratios]) == met
    assert Effort(target=2 * target).met(ratios) >= met


@pytest.mark.parametrize(
    "changes", [{"min_blocks": 1}, {"max_blocks": 4}, {"target": 0}, {"max_s": 0.0}, {"block_s": float("nan")}]
)
def test_efforts_that_cannot_be_are_refused(changes):
    with pytest.raises(InvalidInputError):
        Effort(**changes)


def test_times_have_settled_once_they_stop_falling():
    falling = [9.0, 5.0, 4.0, 3.9, 3.9]
    assert [settled(falling[:count]) for count in range(6)] == [False, False, False, False, True, True]
    assert settled([1.0, 1.3])


def test_the_quartiles_distance_by_hand():
    assert interquartile_range([1.0, 2.0, 3.0, 4.0, 5.0]) == 2.0
    assert interquartile_range([7.0] * 7) == 0.0
