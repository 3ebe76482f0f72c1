"""The ask-and-tell loop, in process and with real workers."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from nas.errors import InvalidInputError
from nas.evaluation.job import job_seed
from nas.execution import Executor, InProcessExecutor, WorkerPool
from nas.execution.events import Event, Failed, Finished, Measured, Opened, Outside, Repeated, Started
from nas.optimization.objectives import REWARD
from nas.optimization.trials import FAIL_REASON, ORIGIN, REPEAT_OF, candidates, measurement_of
from tests.execution.support import (
    FIDELITY,
    MARKED,
    AliasedSpace,
    Analytic,
    SamplerMaker,
    ids,
    log_lines,
    make_space,
    open_study,
    search,
    told,
)


def executor(tmp_path: Path, workers: int, **options: object) -> Executor:
    factory = Analytic(tmp_path / "log", **options)  # type: ignore[arg-type]
    return WorkerPool(factory, [{}] * workers) if workers else InProcessExecutor(factory)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_meets_the_budget_exactly_and_evaluates_nothing_twice(tmp_path: Path, workers: int) -> None:
    study, events = open_study(), list[Event]()
    with executor(tmp_path, workers, sleep_s=0.005) as jobs:
        finished = search(study, jobs, budget=40, events=events)
    assert finished == Finished(40, interrupted=False, exhausted=False)
    assert len(candidates(study)) == 40
    evaluated = [arch_id for arch_id, _ in log_lines(tmp_path / "log", "end")]
    assert sorted(evaluated) == sorted(set(ids(candidates(study))))
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len([e for e in events if isinstance(e, Measured)]) == len([e for e in events if isinstance(e, Started)])
    assert isinstance(events[0], Opened)
    assert events[-1] == finished


def test_a_second_call_adds_only_what_is_missing(tmp_path: Path) -> None:
    study = open_study()
    for budget, expected in ((5, 5), (12, 12), (12, 12), (3, 12)):
        with executor(tmp_path, 0) as jobs:
            assert search(study, jobs, budget=budget).num_candidates == expected
        assert len(candidates(study)) == expected


def test_resuming_says_what_is_there(tmp_path: Path) -> None:
    study, events = open_study(), list[Event]()
    with executor(tmp_path, 0, fault="raise") as jobs:
        search(study, jobs, budget=15)
        search(study, jobs, budget=16, events=events)
    opened = events[0]
    assert isinstance(opened, Opened)
    assert [past.number for past in opened.past] == [trial.number for trial in candidates(study)[:15]]
    assert {type(past) for past in opened.past} == {Measured, Failed}


def test_the_proposals_of_one_worker_do_not_depend_on_the_executor_or_on_breaks(tmp_path: Path) -> None:
    whole, broken, pooled = open_study(), open_study(), open_study()
    with executor(tmp_path, 0) as jobs:
        search(whole, jobs, budget=30)
        for budget in (1, 7, 8, 30):
            search(broken, jobs, budget=budget)
    with executor(tmp_path, 1) as jobs:
        search(pooled, jobs, budget=30)
    assert told(whole) == told(broken) == told(pooled)


def test_repeats_are_free_and_are_told_the_values_of_the_original(tmp_path: Path) -> None:
    study, events = open_study(), list[Event]()
    with executor(tmp_path, 0) as jobs:
        search(study, jobs, budget=150, events=events)
    repeats = [trial for trial in study.trials if REPEAT_OF in trial.user_attrs]
    assert repeats, "324 networks, 150 candidates: some are drawn again"
    for trial in repeats:
        assert trial.values == study.trials[trial.user_attrs[REPEAT_OF]].values
    told_repeats = [(e.number, e.original) for e in events if isinstance(e, Repeated)]
    assert told_repeats == [(trial.number, trial.user_attrs[REPEAT_OF]) for trial in repeats]


def test_a_repeat_of_a_running_candidate_waits_for_it(tmp_path: Path) -> None:
    class Stubborn(SamplerMaker):
        """Proposes every network four times in a row."""

        def __call__(self, number: int):  # type: ignore[no-untyped-def]
            return super().__call__(number // 4)

    study = open_study()
    with executor(tmp_path, 3, sleep_s=0.1) as jobs:
        search(study, jobs, budget=6, make_sampler=Stubborn(0), warm_start=False)
    repeats = [trial for trial in study.trials if REPEAT_OF in trial.user_attrs]
    assert len(candidates(study)) == 6
    assert len(repeats) >= 12
    assert all(trial.values == study.trials[trial.user_attrs[REPEAT_OF]].values for trial in repeats)
    assert len(log_lines(tmp_path / "log", "begin")) == 6
    assert not [trial for trial in study.trials if trial.state == TrialState.RUNNING]


def test_a_repeat_of_a_failed_candidate_fails_and_is_free(tmp_path: Path) -> None:
    study = open_study()
    with executor(tmp_path, 0, fault="raise") as jobs:
        search(study, jobs, budget=200)
    failed = {trial.number for trial in candidates(study) if FAIL_REASON in trial.user_attrs}
    repeats = [trial for trial in study.trials if trial.user_attrs.get(REPEAT_OF) in failed]
    assert repeats
    assert {trial.state for trial in repeats} == {TrialState.FAIL}


def test_candidates_outside_the_bounds_are_free_and_never_evaluated(tmp_path: Path) -> None:
    study, events, space = open_study(), list[Event](), make_space(max_num_params=20_000)
    with executor(tmp_path, 0) as jobs:
        search(study, jobs, budget=20, space=space, events=events)
    outside = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert outside
    assert all(trial.constraints["bounds"] > 0 for trial in outside)
    assert [e.number for e in events if isinstance(e, Outside)] == [trial.number for trial in outside]
    assert len(candidates(study)) == len(log_lines(tmp_path / "log", "begin")) == 20
    assert all(measurement_of(trial).num_params <= 20_000 for trial in candidates(study))  # type: ignore[union-attr]


@pytest.mark.parametrize("workers", [0, 2])
def test_stops_early_when_every_network_was_evaluated(tmp_path: Path, workers: int) -> None:
    study = open_study()
    with executor(tmp_path, workers) as jobs:
        finished = search(study, jobs, budget=50, space=AliasedSpace(), warm_start=False)
    assert finished == Finished(3, interrupted=False, exhausted=True)
    assert len(set(ids(candidates(study)))) == 3


def test_a_sampler_that_proposes_nothing_new_is_helped_by_chance(tmp_path: Path) -> None:
    class Constant(SamplerMaker):
        def __call__(self, number: int):  # type: ignore[no-untyped-def]
            return super().__call__(0)

    study = open_study()
    with executor(tmp_path, 0) as jobs:
        search(study, jobs, budget=6, make_sampler=Constant(0), warm_start=False)
    assert [trial.user_attrs[ORIGIN] for trial in candidates(study)] == ["sampler"] + ["random"] * 5


def test_an_exhausted_space_of_many_configurations_ends_too(tmp_path: Path) -> None:
    class Large(AliasedSpace):
        """Three networks in 15,000 configurations: too many to enumerate."""

        def __init__(self) -> None:
            super().__init__()
            self.choices["ignored"] = tuple(range(5_000))

    study = open_study()
    with executor(tmp_path, 0) as jobs:
        assert search(study, jobs, budget=5, space=Large(), warm_start=False) == Finished(3, False, True)


def test_warm_start_evaluates_the_references_first_within_the_budget(tmp_path: Path) -> None:
    space = make_space(num_references=3)
    expected = [space.decode(params).arch_id for params in space.references.values()]
    study = open_study()
    with executor(tmp_path, 0) as jobs:
        search(study, jobs, budget=2, space=space)
        assert ids(candidates(study)) == expected[:2]
        search(study, jobs, budget=6, space=space)
    origins = [trial.user_attrs[ORIGIN] for trial in candidates(study)]
    assert origins == ["reference 1", "reference 2", "reference 3", "sampler", "sampler", "sampler"]
    assert ids(candidates(study))[:3] == expected


def test_without_warm_start_the_sampler_begins(tmp_path: Path) -> None:
    study = open_study()
    with executor(tmp_path, 0) as jobs:
        search(study, jobs, budget=3, warm_start=False)
        search(study, jobs, budget=4, warm_start=True)
    assert {trial.user_attrs[ORIGIN] for trial in study.trials} == {"sampler"}


@pytest.mark.parametrize(
    ("workers", "fault", "reason"),
    [
        (0, "raise", "error: KeyError: 'no such\\nlayer' (support.py:"),
        (2, "raise", "error: KeyError: 'no such\\nlayer' (support.py:"),
        (2, "memory", "out of memory: MemoryError"),
        (2, "diverge", "diverged: DivergedError: training loss is nan (support.py:"),
        (2, "nan", "diverged: pareto is [nan"),
        (2, "kill", "worker died (signal 9), 2 attempts"),
        (1, "exit", "worker died (exit code 7), 2 attempts"),
    ],
)
def test_what_fails_uses_up_budget_and_the_search_goes_on(
    tmp_path: Path, workers: int, fault: str, reason: str
) -> None:
    study = open_study()
    with executor(tmp_path, workers, fault=fault) as jobs:
        search(study, jobs, budget=12)
    assert len(candidates(study)) == 12
    for trial in candidates(study):
        if trial.params["s1_out_channels"] == MARKED:
            assert trial.state == TrialState.FAIL
            assert trial.user_attrs[FAIL_REASON].startswith(reason)
        else:
            assert trial.state == TrialState.COMPLETE
    assert MARKED in {trial.params["s1_out_channels"] for trial in candidates(study)}


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_input_found_by_the_factory_ends_the_search_before_it_begins(tmp_path: Path, workers: int) -> None:
    with (
        pytest.raises(InvalidInputError, match="`data` must be readable"),
        executor(tmp_path, workers, start_fault="invalid"),
    ):
        pytest.fail("the executor must not open")


def test_a_budget_of_nothing_is_refused(tmp_path: Path) -> None:
    with executor(tmp_path, 0) as jobs, pytest.raises(InvalidInputError, match="`budget` must be at least 1"):
        search(open_study(), jobs, budget=0)


def test_the_scalar_objective_is_told_one_value(tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    events: list[Event] = []
    with executor(tmp_path, 0) as jobs:
        search(study, jobs, budget=3, objective=REWARD, events=events)
    assert [trial.value for trial in candidates(study)] == [e.reward for e in events if isinstance(e, Measured)]


def test_all_candidates_share_a_seed_unless_told_otherwise(tmp_path: Path) -> None:
    seeds = {}
    for common in (True, False):
        study = open_study()
        with executor(tmp_path, 0) as jobs:
            search(study, jobs, budget=5, common_seed=common)
        seeds[common] = {measurement_of(trial).seed for trial in candidates(study)}  # type: ignore[union-attr]
    assert seeds[True] == {job_seed(0, FIDELITY)}
    assert len(seeds[False]) == 5
    assert job_seed(0, FIDELITY) != job_seed(1, FIDELITY)
    assert 0 <= job_seed(0, FIDELITY) < 2**31
