import copy

import numpy as np
import pandas as pd
import pytest

from nas.results import load
from nas.results.report import facts
from nas.results.run import PARETO_OBJECTIVES
from tests.results.report.conftest import make_run


def test_the_hypervolume_never_falls_and_ends_at_that_of_the_front(synthetic_run):
    history = facts.hypervolume_history(synthetic_run)
    assert history["number"].tolist() == facts.measured(synthetic_run)["number"].tolist()
    assert history["hypervolume"].is_monotonic_increasing
    assert 0 < history["hypervolume"].iloc[-1] <= 1


def test_rewards_keep_the_best(synthetic_run):
    history = facts.best_rewards(synthetic_run)
    assert history["best"].iloc[-1] == synthetic_run.best["reward"]
    assert (history["best"] >= history["value"]).all()


def test_the_front_of_a_plane_is_beaten_by_nothing_in_it(synthetic_run):
    rows = facts.measured(synthetic_run)
    for cost in ("relative_step_time", "num_params"):
        front = facts.plane_front(synthetic_run, cost)
        assert front[cost].is_monotonic_increasing
        assert front["accuracy"].is_monotonic_increasing
        for row in front.to_dict("records"):
            assert not ((rows["accuracy"] > row["accuracy"]) & (rows[cost] <= row[cost])).any()


def test_shares_of_choices_are_counted_over_stages(synthetic_run):
    table = facts.choice_shares(synthetic_run)
    specs = [synthetic_run.spec(int(number)) for number in facts.measured(synthetic_run)["number"]]
    for stage, group in table.groupby("stage"):
        for kind in ("Kernel", "Expansion"):
            rows = group[group["choice"].str.startswith(kind)]
            assert rows["all"].sum() == pytest.approx(1)
            assert rows["front"].sum() == pytest.approx(1)
        fused = group[group["choice"] == "Fused-MBConv"]["all"].item()
        assert fused == pytest.approx(np.mean([spec.stages[stage - 1].block == "fused" for spec in specs]))
    assert (table[(table["stage"] == 3) & (table["choice"] == "Fused-MBConv")]["all"] == 0).all()


def test_the_choice_that_matters_is_the_most_important(synthetic_run):
    assert facts.importances(synthetic_run)[list(PARETO_OBJECTIVES)].sum().to_numpy() == pytest.approx(1)
    trials = synthetic_run.trials
    planted = trials["param_s2_kernel_size"].eq(5).astype(float)
    noise = np.random.default_rng(0).normal(0, 0.01, len(trials))
    altered = copy.copy(synthetic_run)
    altered.trials = trials.assign(accuracy=planted + noise)
    assert facts.importances(altered)["choice"].iloc[0] == "s2_kernel_size"


def test_few_candidates_have_no_importances(tmp_path):
    assert facts.importances(load(make_run(tmp_path / "run", 5).path)).empty


def test_the_account_adds_up_to_what_the_candidates_took(synthetic_run):
    account = facts.cost_account(synthetic_run).set_index("what")["seconds"]
    rows = facts.measured(synthetic_run)
    assert account["Paused for others' timings"] == pytest.approx(0.25 * len(rows))
    assert account["Waiting to time alone"] == pytest.approx(0.125 * len(rows))
    assert account["Training and validation"] == pytest.approx(1.25 * len(rows))
    own = account.drop(["Driver and queue", "Failed candidates"]).sum()
    assert own == pytest.approx(rows["wall_s"].sum())
    assert account["Failed candidates"] > 0


def test_the_account_of_a_real_run_adds_up(real_run):
    account = facts.cost_account(real_run)
    took = (real_run.trials["ended_utc"] - real_run.trials["started_utc"]).dt.total_seconds().sum()
    assert account["seconds"].sum() == pytest.approx(took)
    assert account["share"].sum() == pytest.approx(1)
    assert facts.elapsed_s(real_run) < took  # there were two workers


def test_failures_are_counted_by_reason(tmp_path):
    run = load(make_run(tmp_path / "run", 1, num_failed=3).path)
    expected = pd.DataFrame({"reason": ["out of memory"], "count": [3], "example": [1]})
    pd.testing.assert_frame_equal(facts.failures(run), expected, check_dtype=False)


def test_step_times_of_an_older_run_have_no_intervals(real_run):
    found = facts.step_time_noise(real_run)
    assert not found.has_intervals
    assert found.exclusive is None
    assert len(found.interval_widths) == 200
    assert found.predicted == 0
