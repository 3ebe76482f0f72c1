"""Candidates that are stopped early, in the loop, across breaks, and in what is said and written of them."""

from pathlib import Path

import pandas as pd
import pytest
from optuna.trial import TrialState

from nas.evaluation.job import Job
from nas.execution import Executor, InProcessExecutor, WorkerPool, recover
from nas.execution.events import Event, Finished, Measured, Opened, Stopped
from nas.execution.progress import PlainDisplay
from nas.execution.tally import Tally
from nas.optimization.objectives import PARETO, REWARD
from nas.optimization.stopping import make_stopping
from nas.optimization.trials import (
    MEASUREMENT,
    ORIGIN,
    REPEAT_OF,
    any_measurement_of,
    candidates,
    describe,
    measurement_of,
)
from nas.results.frame import trials_frame
from nas.results.rungs import COLUMN_DTYPES, rungs_frame
from tests.execution.support import (
    Analytic,
    climb,
    log_lines,
    make_space,
    measure,
    measurements,
    open_study,
    search,
    told,
)

# Accuracy follows from parameters here, so that no candidate dominates another; rewards differ.
DOMINATED = make_stopping("dominated", objective=REWARD)
HALVING = make_stopping("halving", objective=PARETO)


def executor(tmp_path: Path, workers: int = 0) -> Executor:
    factory = Analytic(tmp_path / "log")
    return WorkerPool(factory, [{}] * workers) if workers else InProcessExecutor(factory)


@pytest.fixture
def halved(tmp_path):
    study, events = open_study(), list[Event]()
    with executor(tmp_path) as jobs:
        search(study, jobs, budget=60, stopping=HALVING, events=events)
    return study, events


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stopping", [DOMINATED, HALVING])
def test_stopped_candidates_use_budget_and_have_no_values(tmp_path, workers, stopping):
    study, events = open_study(), list[Event]()
    with executor(tmp_path, workers) as jobs:
        finished = search(study, jobs, budget=60, stopping=stopping, events=events)
    assert finished == Finished(60, interrupted=False, exhausted=False)
    stopped = [trial for trial in candidates(study) if trial.state == TrialState.PRUNED]
    assert 0 < len(stopped) < 60
    assert len(candidates(study)) == len(log_lines(tmp_path / "log", "end")) == 60
    for trial in stopped:
        assert trial.values is None
        assert measurement_of(trial) is None, "what was measured on the way is no result"
        assert any_measurement_of(trial).stopped
    assert {trial.number for trial in stopped} == {event.number for event in events if isinstance(event, Stopped)}
    assert not {trial.number for trial in study.best_trials} & {trial.number for trial in stopped}


def test_breaks_change_nothing(tmp_path):
    whole, broken = open_study(), open_study()
    with executor(tmp_path) as jobs:
        search(whole, jobs, budget=50, stopping=DOMINATED)
        for budget in (1, 13, 14, 50):
            search(broken, jobs, budget=budget, stopping=DOMINATED)
    assert told(whole) == told(broken)
    assert [m.stopped for m in measurements(whole)] == [m.stopped for m in measurements(broken)]


def test_resuming_says_who_was_stopped(tmp_path, halved):
    study, before = halved
    events = list[Event]()
    with executor(tmp_path) as jobs:
        search(study, jobs, budget=61, events=events)
    opened = events[0]
    assert isinstance(opened, Opened)
    assert set(opened.past) == {event for event in before if isinstance(event, Measured | Stopped)}


def test_repeats_of_a_stopped_candidate_are_free_and_have_no_values_either(tmp_path):
    study = open_study()
    with executor(tmp_path) as jobs:
        search(study, jobs, budget=150, stopping=HALVING)
    stopped = {trial.number for trial in candidates(study) if trial.state == TrialState.PRUNED}
    repeats = [trial for trial in study.trials if trial.user_attrs.get(REPEAT_OF) in stopped]
    assert repeats
    assert {trial.state for trial in repeats} == {TrialState.PRUNED}
    assert len(candidates(study)) == 150


def test_a_driver_killed_between_record_and_telling_lost_nothing():
    study, space = open_study(), make_space()
    trial = study.ask()
    describe(trial, space.suggest(trial))
    trial.set_user_attr(ORIGIN, "sampler")

    class Stop:
        rungs = (0.5,)
        validates = True

        def predict(self, measurement):
            return None

        def stops(self, measurement):
            return True

    trial.set_user_attr(MEASUREMENT, climb(measure(space.reference), Stop()).to_dict())
    recover(study, space, PARETO)
    assert [t.state for t in candidates(study)] == [TrialState.PRUNED]


def test_a_job_without_stopping_has_no_rule(tmp_path):
    jobs = list[Job]()

    class Noting(InProcessExecutor):
        def submit(self, job: Job) -> None:
            jobs.append(job)
            super().submit(job)

    with Noting(Analytic(tmp_path / "log")) as noting:
        search(open_study(), noting, budget=3)
    assert [job.stop_rule for job in jobs] == [None] * 3


def test_displays_count_them(halved, capsys):
    from rich.console import Console

    study, events = halved
    tally, display = Tally(), PlainDisplay(Console())
    for event in events:
        tally.count(event)
        display(event)
    states = [trial.state for trial in candidates(study)]
    assert tally.num_stopped == states.count(TrialState.PRUNED)
    assert tally.num_measured == states.count(TrialState.COMPLETE)
    assert (tally.num_done, tally.num_running) == (60, 0)
    lines = capsys.readouterr().out.splitlines()
    assert sum("stopped at 12% of its training: accuracy 0." in line for line in lines) > 0
    assert f"{tally.num_stopped} stopped early, 0 failed" in lines[-1]


def test_tables_tell_them_apart(halved):
    study, _ = halved
    frame, rungs = trials_frame(study), rungs_frame(candidates(study))
    stopped = frame[frame["state"] == "stopped"]
    assert len(stopped) == sum(measurement.stopped for measurement in measurements(study))
    assert stopped[["accuracy", "accuracy_stderr", "train_loss", "reward"]].isna().all(axis=None)
    assert stopped[["relative_step_time", "num_params", "wall_s"]].notna().all(axis=None)
    assert frame.loc[frame["state"] == "measured", "accuracy"].notna().all()
    assert {name: str(dtype) for name, dtype in rungs.dtypes.items()} == COLUMN_DTYPES
    assert rungs["stopped"].sum() == len(stopped)
    assert set(rungs.loc[rungs["stopped"], "number"]) == set(stopped["number"])
    assert rungs.groupby("number")["share"].apply(lambda shares: shares.is_monotonic_increasing).all()
    whole = rungs[rungs["number"].isin(frame.loc[frame["state"] == "measured", "number"])]
    assert (whole.groupby("number").size() == 3).all()


def test_a_table_without_rungs_has_its_columns():
    empty = rungs_frame([])
    assert empty.empty
    pd.testing.assert_series_equal(
        empty.dtypes.astype(str), pd.Series(COLUMN_DTYPES), check_names=False, check_dtype=False
    )
