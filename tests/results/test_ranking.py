import itertools
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import kendalltau

from nas.results.ranking import (
    Components,
    components,
    expected_tau,
    interval,
    kendall_tau,
    mean_tau,
    network_means,
    regret,
    resamples,
    seed_tau,
    top_weights,
    weighted_tau,
    weights_of,
)

few = partial(arrays.arrays, float, elements=st.integers(-3, 3).map(float))
"""Small whole numbers, so that ties are common."""


@st.composite
def two_scores(draw):
    size = draw(st.integers(2, 12))
    return draw(few(size)), draw(few(size))


def equal(found, expected):
    return found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(two_scores())
def test_tau_is_that_of_scipy_with_and_without_ties(scores):
    assert equal(kendall_tau(*scores), kendalltau(*scores).statistic)


@given(two_scores(), st.integers(0, 1000))
def test_tau_of_a_bootstrap_sample_is_that_of_the_networks_in_it(scores, seed):
    samples = resamples(len(scores[0]), seed, number=3)
    found = weighted_tau(*scores, weights_of(samples))
    for sample, tau in zip(samples, found, strict=True):
        assert equal(tau, kendalltau(scores[0][sample], scores[1][sample]).statistic)


@given(two_scores())
def test_tau_looks_at_the_order_alone(scores):
    one, other = scores
    assert equal(kendall_tau(np.exp(one), other), kendall_tau(one, other))
    assert equal(kendall_tau(-one, other), -kendall_tau(one, other))


@given(st.permutations(range(9)), st.sampled_from([1 / 3, 1 / 2, 1.0]), st.integers(0, 100))
def test_the_top_is_the_best_of_each_sample(order, fraction, seed):
    truth, samples = np.array(order, float), resamples(9, seed, number=4)
    found = top_weights(truth, weights_of(samples), fraction)
    for sample, kept in zip(samples, found, strict=True):
        best = np.sort(truth[sample])[::-1][: math.ceil(9 * fraction)]
        assert np.array_equal(np.sort(np.repeat(truth, kept.astype(int)))[::-1], best)


def test_the_top_half_has_a_tau_of_its_own():
    truth = np.arange(8.0)
    scores = np.array([3.0, 2, 1, 0, 4, 5, 6, 7])  # the worst half is upside down
    ones = np.ones(8)
    assert mean_tau(scores[:, None], truth, ones, top=1 / 2) == 1
    assert mean_tau(scores[:, None], truth, ones) == pytest.approx((28 - 12) / 28)


def test_missing_runs_are_left_out():
    truth = np.array([0.1, 0.2, 0.3, 0.4, np.nan])
    runs = np.array([[1.0, 4], [2, 3], [np.nan, 2], [4, 1], [0, 9]])
    assert mean_tau(runs, truth, np.ones(5)) == 0
    assert mean_tau(runs[:, :1], truth, np.ones(5)) == 1
    assert seed_tau(runs[:4], np.ones(4)) == -1
    assert np.isnan(seed_tau(runs[:, :1], np.ones(5)))


def test_regret_is_what_choosing_by_a_run_costs():
    truth = np.array([0.5, 0.7, 0.6, 0.4])
    runs = np.array([[1.0, 3], [2, 2], [3, 1], [4, 0]])  # the first prefers the last network, the second the first
    assert regret(runs[:, :1], truth, 1) == pytest.approx(0.3)
    assert regret(runs, truth, 1) == pytest.approx((0.3 + 0.2) / 2)
    assert regret(runs, truth, 2) == pytest.approx((0.1 + 0.0) / 2)
    assert regret(runs, truth, 4) == 0
    assert math.isnan(regret(runs, np.full(4, np.nan), 1))


def test_a_seed_that_is_missing_does_not_shift_a_network():
    truth = np.array([0.4, 0.5, 0.6, 0.7])
    runs = truth[:, None] + np.array([0.0, 0.1])
    runs[3, 1] = np.nan
    found = network_means(runs)
    assert found[:3] == pytest.approx(truth[:3] + 0.05)
    assert found[3] == pytest.approx(0.75)
    assert np.isnan(network_means(np.array([[0.1, 0.2], [np.nan, np.nan]]))[1])


@given(few((6, 3)), st.floats(-5, 5))
def test_components_do_not_see_what_a_seed_adds_to_all(runs, shift):
    assume(runs.std() > 0)
    found, shifted = components(runs), components(runs + np.array([0, shift, 0]))
    assert equal(found.spread, shifted.spread) or found.spread == pytest.approx(shifted.spread, abs=1e-6)
    assert found.noise == pytest.approx(shifted.noise, abs=1e-6)


@pytest.mark.parametrize(("spread", "noise"), [(2.0, 1.0), (1.0, 2.0), (0.0, 1.0)])
def test_components_are_found_again(spread, noise):
    rng = np.random.default_rng(0)
    runs = spread * rng.normal(size=(400, 30, 1)) + noise * rng.normal(size=(400, 30, 3)) + rng.normal(size=(400, 1, 3))
    found = components(runs)
    assert np.mean(found.noise**2) == pytest.approx(noise**2, rel=0.05)
    assert np.median(found.spread) == pytest.approx(spread, abs=0.25 if spread == 0 else 0.1)


def test_components_need_two_of_each():
    for shape in ((1, 3), (5, 1)):
        found = components(np.ones(shape))
        assert np.isnan([found.spread, found.noise, found.ratio, found.correlation(1)]).all()
    still = components(np.full((4, 2), 0.3))
    assert (still.spread, still.noise, still.correlation(1)) == (0, 0, 0)
    assert np.isnan(still.ratio)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("num_seeds", [1, 2])
def test_the_ceiling_is_the_tau_that_a_perfect_ranking_has_on_average(ratio, num_seeds):
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(400, 24))
    seen = truth + rng.normal(size=(400, 24, num_seeds)).mean(-1) / ratio
    taus = [kendall_tau(one, other) for one, other in zip(truth, seen, strict=True)]
    ceiling = expected_tau(Components(np.asarray(ratio), np.asarray(1.0)).correlation(num_seeds))
    assert np.mean(taus) == pytest.approx(float(ceiling), abs=0.015)


def test_known_ceilings_of_a_single_run():
    one = np.asarray(1.0)
    found = [float(expected_tau(Components(ratio * one, one).correlation(1))) for ratio in (1, 2, 3)]
    assert found == pytest.approx([0.50, 0.70, 0.80], abs=0.006)


def test_an_interval_of_tau_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    correlation, inside = 0.8, 0
    expected = float(expected_tau(np.asarray(correlation)))
    for _ in range(150):
        one = rng.normal(size=24)
        other = correlation * one + math.sqrt(1 - correlation**2) * rng.normal(size=24)
        low, high = interval(weighted_tau(one, other, weights_of(resamples(24, number=300))))
        inside += low <= expected <= high
    assert inside / 150 == pytest.approx(0.95, abs=0.06)


def test_an_interval_is_not_stated_where_most_samples_say_nothing():
    assert interval(np.arange(101.0)) == (2.5, 97.5)
    assert np.isnan(interval(np.array([1.0, np.nan, np.nan]))).all()


def test_samples_are_the_same_every_time():
    assert np.array_equal(resamples(5), resamples(5))
    assert weights_of(resamples(5)).sum(1).tolist() == [5] * len(resamples(5))
    assert len({tuple(sample) for sample in resamples(5)}) > 100
    assert all(0 <= index < 5 for index in itertools.chain(*resamples(5, number=10).tolist()))
