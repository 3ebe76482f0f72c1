"""The noise model, on accuracies whose noise is known because it was drawn."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from nas.optimization.objectives import PARETO
from nas.optimization.trials import NoiseRepeat, measurement_of, note_noise_repeat
from nas.results import Run, RunFolder
from nas.results.frame import trials_frame
from nas.results.noise import MIN_CANDIDATES, Noise, SeedNoise, measure_noise, seed_noise
from tests.results.conftest import describe_run
from tests.synthetic import measured, new_study, run_search, small_space

accuracies = st.floats(0, 1)
networks = st.lists(st.lists(accuracies, min_size=1, max_size=6), max_size=6)


@given(networks)
def test_variances_within_networks_are_pooled(drawn):
    """As a one-way analysis of variance has it."""
    found = SeedNoise.pool(drawn)
    freedom = sum(len(network) - 1 for network in drawn)
    if freedom == 0:
        assert found is None
        return
    squares = sum((value - np.mean(network)) ** 2 for network in drawn for value in network)
    assert found.degrees_of_freedom == freedom
    assert found.sd == pytest.approx(math.sqrt(squares / freedom), abs=1e-12)
    assert found.low == pytest.approx(math.sqrt(squares / chi2.ppf(0.975, freedom)), abs=1e-12)
    assert found.high == pytest.approx(math.sqrt(squares / chi2.ppf(0.025, freedom)), abs=1e-9)
    assert found.low <= found.sd <= found.high


@given(networks, accuracies)
def test_what_networks_differ_by_is_no_noise(drawn, shift):
    before = SeedNoise.pool(drawn)
    after = SeedNoise.pool([[value + shift * n for value in network] for n, network in enumerate(drawn)])
    assert (before is None) == (after is None)
    if before is not None:
        assert after.sd == pytest.approx(before.sd, abs=1e-7)


@pytest.mark.parametrize("sizes", [[2], [3, 2, 2], [5, 5, 5]])
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(sizes):
    random, truth, num_draws = np.random.default_rng(0), 0.01, 3_000
    found = [SeedNoise.pool([random.normal(0.5 + 0.1 * n, truth, size) for n, size in enumerate(sizes)])
             for _ in range(num_draws)]  # fmt: skip
    assert np.mean([each.sd**2 for each in found]) == pytest.approx(truth**2, rel=0.1)
    assert np.mean([each.low <= truth <= each.high for each in found]) == pytest.approx(0.95, abs=0.015)


def table(values, *, stderr=0.004, origins="sampler"):
    return pd.DataFrame(
        {"number": range(len(values)), "state": "measured", "origin": origins, "accuracy": values,
         "accuracy_sampling_stderr": stderr}
    )  # fmt: skip


def seeds(sd):
    return SeedNoise(sd, sd / 2, 2 * sd, 4)


@pytest.mark.parametrize(("spread", "noise"), [(0.03, 0.01), (0.01, 0.01), (0.0, 0.01), (0.02, 0.0)])
def test_spread_and_ratio_are_those_that_candidates_were_drawn_with(spread, noise):
    random = np.random.default_rng(1)
    values = 0.5 + random.normal(0, spread, 20_000) + random.normal(0, noise, 20_000)
    found = measure_noise(table(values), seeds(noise))
    assert found.spread == pytest.approx(spread, rel=0.05, abs=0.0015)
    assert found.ratio == pytest.approx(spread / noise if noise else math.inf, rel=0.05, abs=0.15)
    assert found.stderr == pytest.approx(math.hypot(0.004, noise))


@given(st.lists(accuracies, min_size=2, max_size=30), st.floats(0, 0.5))
def test_the_warning_says_whether_the_spread_is_below_the_noise(values, noise):
    found = measure_noise(table(values), seeds(noise))
    assert 0 <= found.spread <= found.accuracy_sd
    expected = len(values) >= MIN_CANDIDATES and (found.spread < noise or found.spread == 0)
    assert (found.warning is not None) == expected
    assert found.to_dict()["warning"] == found.warning


def test_the_warning_has_numbers_and_what_to_do():
    alternating = [0.5, 0.51] * 10
    sd = float(np.std(alternating, ddof=1))
    found = measure_noise(table(alternating), seeds(0.005))
    assert found.warning == (
        f"Accuracies of 20 candidates differ by {100 * math.sqrt(sd**2 - 0.005**2):.2f} points (standard deviation, "
        "noise taken out), and the noise of one is 0.50 points (0.25 to 1.00, from 4 repeats with other seeds). A "
        "sampler that concentrates makes candidates alike. This ranking is mostly noise: use more --val-images or a "
        "longer --fidelity, or let python -m nas.calibrate find one."
    )


def test_without_repeats_the_noise_is_that_of_the_images():
    found = measure_noise(table([0.5, 0.501] * 10), None)
    assert (found.sd, found.num_repeats, found.ratio) == (0.004, 0, 0.0)
    assert "0.40 points from the number of validation images alone; the seed's was not measured" in found.warning


def test_equal_candidates_without_noise_are_not_told_apart():
    assert measure_noise(table([0.5] * 10), SeedNoise(0.0, 0.0, 0.0, 4)).warning is not None


@pytest.mark.parametrize(
    ("num_random", "origins", "expected"),
    [
        (0, "sampler", (30, False)),
        (12, "sampler", (12, True)),
        (9, "sampler", (30, False)),  # too few
        (12, ["reference"] * 3 + ["sampler"] * 27, (30, False)),  # of twelve trials three are references
        (13, ["reference"] * 3 + ["sampler"] * 27, (10, True)),
        (0, ["random"] * 11 + ["sampler"] * 19, (11, True)),
    ],
)
def test_random_candidates_are_preferred_where_there_are_enough(num_random, origins, expected):
    found = measure_noise(table(np.linspace(0.4, 0.6, 30), origins=origins), None, num_random=num_random)
    assert (found.num_candidates, found.is_random) == expected


def test_fewer_than_two_candidates_have_no_noise():
    assert measure_noise(table([0.5]), None) is None
    assert measure_noise(table([]), seeds(0.1)) is None
    assert measure_noise(table([0.5, 0.6]).assign(state=["measured", "failed"]), None) is None


def study_with_repeats(*differences):
    """A study whose first measured candidate was trained again, with accuracies that differ as given."""
    study = new_study(PARETO)
    run_search(study, small_space(), PARETO, "random", 20)
    first = measured(study)[0]
    original = measurement_of(first)
    for repeat, difference in enumerate(differences, start=1):
        again = replace(original, accuracy=original.accuracy + difference)
        note_noise_repeat(study, NoiseRepeat(repeat, first.number, again))
    return study


def test_standard_errors_in_tables_are_of_images_and_seed():
    plain, repeated = (trials_frame(study_with_repeats(*more)) for more in ((), (0.02,)))
    rows = repeated[repeated["state"] == "measured"]
    assert rows["accuracy_seed_stderr"].tolist() == pytest.approx([0.02 / math.sqrt(2)] * len(rows))
    parts = np.hypot(rows["accuracy_sampling_stderr"], rows["accuracy_seed_stderr"])
    assert rows["accuracy_stderr"].tolist() == parts.tolist()
    assert plain["accuracy_seed_stderr"].isna().all()
    pd.testing.assert_series_equal(plain["accuracy_stderr"], plain["accuracy_sampling_stderr"], check_names=False)
    pd.testing.assert_series_equal(plain["accuracy_sampling_stderr"], repeated["accuracy_sampling_stderr"])
    assert (
        repeated.loc[repeated["state"] == "failed", ["accuracy_stderr", "accuracy_seed_stderr"]].isna().all(axis=None)
    )


def test_repeats_that_failed_or_had_another_fidelity_do_not_count():
    study = study_with_repeats(0.01)
    before, first = seed_noise(study), measured(study)[0]
    note_noise_repeat(study, NoiseRepeat(2, first.number, None, "out of memory"))
    elsewhere = replace(measurement_of(first), accuracy=0.9, fidelity="9x9")
    note_noise_repeat(study, NoiseRepeat(3, first.number, elsewhere))
    assert seed_noise(study) == before
    assert before.degrees_of_freedom == 1


def test_a_run_whose_seed_is_noisy_warns_and_marks_more_ties():
    def run(*differences):
        study = study_with_repeats(*differences)
        return Run(RunFolder(Path("memory")), describe_run(small_space()), study)

    quiet, noisy = run(0.001, -0.001), run(0.2, -0.2)
    assert isinstance(noisy.noise, Noise)
    assert quiet.noise.warning is None
    assert "mostly noise" in noisy.noise.warning
    assert noisy.pareto["is_tied"].sum() > quiet.pareto["is_tied"].sum()
    assert noisy.pareto["ties_with_best"].all()
