from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from nas.complexity import depth
from nas.results import rank_signals
from nas.results.signals import SIGNAL_DTYPES, TRIVIAL
from tests.results.conftest import run_in_memory
from tests.synthetic import measure


def scored(spec, reference, *, seed=0):
    """One signal that knows the accuracy, one that has it upside down, and none for some of the candidates."""
    found = measure(spec, reference, seed=seed)
    missing = found.num_params % 3 == 0
    return replace(found, signal_naswot=found.accuracy**3, signal_synflow=None if missing else -found.accuracy)


@pytest.fixture(scope="module")
def run():
    return run_in_memory(60, measure=scored)


def test_every_signal_has_a_row_next_to_the_trivial_ones(run):
    table = rank_signals(run)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == SIGNAL_DTYPES
    assert set(table["signal"]) == {"naswot", "synflow", *TRIVIAL}
    assert set(table.loc[table["is_trivial"], "signal"]) == set(TRIVIAL)
    assert table["tau"].is_monotonic_decreasing


def test_the_order_is_that_of_accuracy_or_its_reverse(run):
    table = rank_signals(run).set_index("signal")
    assert table.loc["naswot", "tau"] == pytest.approx(1)
    assert table.loc["synflow", "tau"] == pytest.approx(-1)
    measured = run.trials[run.trials["state"] == "measured"]
    assert table.loc["naswot", "num_candidates"] == len(measured)
    assert table.loc["synflow", "num_candidates"] == measured["signal_synflow"].notna().sum() < len(measured)
    depths = [depth(run.spec(number)) for number in measured["number"]]
    assert table.loc["depth", "tau"] == pytest.approx(kendalltau(depths, measured["accuracy"]).statistic)


def test_by_chance_it_is_as_far_from_0_as_told(run):
    row = rank_signals(run).set_index("signal").loc["num_params"]
    random, count = np.random.default_rng(0), int(row["num_candidates"])
    taus = [kendalltau(random.permutation(count), np.arange(count)).statistic for _ in range(2_000)]
    assert row["tau_by_chance"] == pytest.approx(np.std(taus), rel=0.1)


def test_a_run_without_signals_has_the_trivial_ones():
    assert set(rank_signals(run_in_memory(20))["signal"]) == set(TRIVIAL)


@pytest.mark.parametrize("num_asks", [0, 1])
def test_a_run_with_nothing_to_rank(num_asks):
    table = rank_signals(run_in_memory(num_asks))
    assert table.empty
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == SIGNAL_DTYPES
    pd.testing.assert_frame_equal(table, rank_signals(run_in_memory(0)))
