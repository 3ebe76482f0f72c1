"""Repeats of measured candidates with other seeds: which, when, and never twice."""

from pathlib import Path

import pytest
from optuna.samplers import PartialFixedSampler

from nas.evaluation.job import Job, job_seed
from nas.execution import Executor, InProcessExecutor, WorkerPool
from nas.execution.events import Event, Measured, Retrained, Retraining, Started
from nas.execution.noise import NUM_BEFORE, NoiseRepeats
from nas.optimization.trials import NoiseRepeat, candidates, noise_repeats, note_noise_repeat
from tests.execution.support import (
    FIDELITY,
    MARKED,
    Analytic,
    SamplerMaker,
    log_lines,
    make_space,
    measure,
    open_study,
    search,
    told,
)


def executor(tmp_path: Path, workers: int = 0, **options: object) -> Executor:
    factory = Analytic(tmp_path / "log", **options)  # type: ignore[arg-type]
    return WorkerPool(factory, [{}] * workers) if workers else InProcessExecutor(factory)


@pytest.mark.parametrize("workers", [0, 3])
def test_reference_networks_take_turns_after_the_first_candidates(tmp_path: Path, workers: int) -> None:
    study, events = open_study(), list[Event]()
    with executor(tmp_path, workers, sleep_s=0.02) as jobs:
        finished = search(study, jobs, budget=NUM_BEFORE + 2, noise_repeats=5, events=events)
    assert finished.num_candidates == len(candidates(study)) == NUM_BEFORE + 2
    done = noise_repeats(study)
    assert [(each.repeat, each.number) for each in done] == [(1, 0), (2, 1), (3, 0), (4, 1), (5, 0)]
    measurements = [each.measurement for each in done if each.measurement is not None]
    assert [each.seed for each in measurements] == [job_seed(0, FIDELITY, repeat=n) for n in range(1, 6)]
    assert len({job_seed(0, FIDELITY), *(each.seed for each in measurements)}) == 6
    begun = [type(e) for e in events if isinstance(e, Started | Retraining)]
    if not workers:
        assert begun == [Started] * NUM_BEFORE + [Retraining] * 5 + [Started] * 2
    assert sum(isinstance(e, Retrained) for e in events) == 5
    assert sorted(line.partition("#")[2] for line, _ in log_lines(tmp_path / "log", "done")) == list("12345")


def test_proposals_are_those_of_a_search_without_repeats(tmp_path: Path) -> None:
    plain, repeating = open_study(), open_study()
    with executor(tmp_path) as jobs:
        search(plain, jobs, budget=20)
        search(repeating, jobs, budget=20, noise_repeats=7)
    assert told(plain) == told(repeating)


@pytest.mark.parametrize(("budget", "numbers"), [(8, [0, 1, 2, 0]), (2, [0, 1, 0, 1]), (1, [0, 0, 0, 0])])
def test_without_references_the_first_candidates_are_repeated(tmp_path: Path, budget: int, numbers: list[int]) -> None:
    study, events = open_study(), list[Event]()
    with executor(tmp_path) as jobs:
        search(study, jobs, budget=budget, noise_repeats=4, warm_start=False, events=events)
    first = [trial.number for trial in candidates(study)]
    assert [done.number for done in noise_repeats(study)] == [first[number] for number in numbers]
    began = next(place for place, event in enumerate(events) if isinstance(event, Retraining))
    # The last of them is told before its worker is given more, and shown after.
    assert sum(isinstance(event, Measured) for event in events[:began]) == budget - 1


def test_few_candidates_at_the_start_of_a_resumed_search_are_not_all_there_will_be(tmp_path: Path) -> None:
    study = open_study()
    with executor(tmp_path) as jobs:
        search(study, jobs, budget=1, warm_start=False)
        search(study, jobs, budget=8, warm_start=False, noise_repeats=3)
    first = [trial.number for trial in candidates(study)[:3]]
    assert [done.number for done in noise_repeats(study)] == first


def test_a_driver_begins_no_repeat_that_another_one_has_done(tmp_path: Path) -> None:
    study, space = open_study(), make_space()
    with executor(tmp_path) as jobs:
        search(study, jobs, budget=3)
    here, there = (NoiseRepeats(study, space, 4, preference) for preference in (0, 2))
    begun = []
    for driver in (here, there, here, there):
        due = driver.begin_next(at_end=True)
        assert due is not None
        repeat, trial = due
        begun.append(repeat)
        driver.end(Job(trial.number, space.reference, FIDELITY, 0, repeat), measure(space.reference))
    assert begun == [1, 4, 2, 3]
    assert here.begin_next(at_end=True) is there.begin_next(at_end=True) is None


def test_a_resumed_search_does_what_is_missing_and_nothing_again(tmp_path: Path) -> None:
    study = open_study()
    for budget, repeats, expected in ((1, 0, 0), (6, 2, 2), (6, 2, 2), (6, 4, 4), (9, 3, 4)):
        with executor(tmp_path) as jobs:
            search(study, jobs, budget=budget, noise_repeats=repeats)
        assert [done.repeat for done in noise_repeats(study)] == list(range(1, expected + 1))
        assert len(log_lines(tmp_path / "log", "again")) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_a_repeat_that_fails_is_kept_with_its_reason_and_not_tried_again(tmp_path: Path, workers: int) -> None:
    study, events, space = open_study(), list[Event](), make_space()
    with executor(tmp_path, workers) as jobs:
        search(study, jobs, budget=2)
    faults = {"fault": "kill" if workers else "raise", "fault_at_repeats": True}
    for _ in range(2):
        with executor(tmp_path, workers, **faults) as jobs:
            finished = search(study, jobs, budget=4, noise_repeats=2, events=events, space=space)
        assert finished.num_candidates == 4
        reasons = [done.fail_reason or "" for done in noise_repeats(study)]
        assert [reason.partition(" ")[0] for reason in reasons] == ["worker" if workers else "error:"] * 2
        # A job whose worker died is begun once more.
        assert len(log_lines(tmp_path / "log", "again")) == (4 if workers else 2)
    assert [event.measurement for event in events if isinstance(event, Retrained)] == [None, None]


def test_a_repeat_without_a_number_for_accuracy_has_diverged(tmp_path: Path) -> None:
    study = open_study()
    with executor(tmp_path, fault="nan", fault_at_repeats=True) as jobs:
        search(study, jobs, budget=2, noise_repeats=1)
    assert [done.fail_reason for done in noise_repeats(study)] == ["diverged: accuracy is nan"]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_where_no_candidate_is_measured_nothing_is_repeated(tmp_path: Path) -> None:
    class Marked(SamplerMaker):
        """Proposes networks that fail."""

        def __call__(self, number: int):  # type: ignore[no-untyped-def]
            return PartialFixedSampler({"s1_out_channels": MARKED}, super().__call__(number))

    study = open_study()
    with executor(tmp_path, fault="raise") as jobs:
        search(study, jobs, budget=5, noise_repeats=3, warm_start=False, make_sampler=Marked(0))
    assert len(candidates(study)) == 5
    assert noise_repeats(study) == []


def test_a_study_keeps_repeats_beside_its_other_attributes(tmp_path: Path) -> None:
    study = open_study(tmp_path / "journal")
    study.set_user_attr("sitting", {"budget": 3})
    known = [
        NoiseRepeat(repeat, 0, measure(make_space().reference, repeat) if repeat != 2 else None, None)
        for repeat in (11, 2, 1)
    ]
    for done in known:
        note_noise_repeat(study, done)
    assert noise_repeats(open_study(tmp_path / "journal")) == known[::-1]
