"""A replay compared with its run: what counts as equal, and what as noise."""

from dataclasses import replace
from pathlib import Path

import pytest

from nas import InvalidInputError
from nas.evaluation.fidelity import Fidelity
from nas.optimization.objectives import PARETO
from nas.optimization.trials import measurement_of
from nas.results import Run, RunFolder
from nas.results.replay import REPLAY_DTYPES, replay_frame, replay_jobs, replay_words
from tests.results.conftest import describe_run, run_in_memory
from tests.synthetic import new_study, small_space

FIDELITY = Fidelity(2000, 1)


@pytest.fixture(scope="module")
def run():
    return run_in_memory(30)


def measured(run):
    found = {trial.number: measurement_of(trial) for trial in run.candidates}
    return {job.number: found[job.number] for job in replay_jobs(run, FIDELITY)}


def test_jobs_are_the_front_and_the_reference_as_they_were(run):
    jobs = replay_jobs(run, FIDELITY)
    numbers = [job.number for job in jobs]
    assert numbers[: len(run.pareto)] == run.pareto["number"].tolist()
    assert len(set(numbers)) == len(numbers)
    assert [job.spec.arch_id for job in jobs] == [run.spec(number).arch_id for number in numbers]
    assert [job.seed for job in jobs] == run.trials.set_index("number").loc[numbers, "seed"].tolist()
    references = run.trials[run.trials["origin"].eq("reference")]
    assert set(references.loc[references["state"].eq("measured"), "number"]) <= set(numbers)


def test_nothing_to_replay():
    run = Run(RunFolder(Path("memory")), describe_run(small_space()), new_study(PARETO))
    with pytest.raises(InvalidInputError, match="a measured candidate"):
        replay_jobs(run, FIDELITY)


def test_the_same_again_agrees_exactly(run):
    frame = replay_frame(run, measured(run))
    assert frame.dtypes.astype(str).to_dict() == REPLAY_DTYPES
    assert frame["agrees"].all()
    assert frame["accuracy_tolerance"].eq(0).all()
    assert replay_words(frame) == f"All {len(frame)} candidates agree: {len(frame)} exactly, 0 within noise."


def changed(run, **changes):
    """Replay with one candidate's measurement changed; return that one's row, the first."""
    again = measured(run)
    first = next(iter(again))
    accuracy = again[first].accuracy + changes.pop("by", 0.0)
    return replay_frame(run, {**again, first: replace(again[first], accuracy=accuracy, **changes)}).iloc[0]


def test_on_one_cpu_the_smallest_difference_is_one(run):
    row = changed(run, by=1e-6)
    assert not row["agrees"]
    assert row["accuracy_difference"] == pytest.approx(1e-6)


@pytest.mark.parametrize(
    "place", [{"torch_version": "2.9.0"}, {"device_name": "another"}, {"dtype": "bfloat16"}, {"device": "cuda:0"}]
)
def test_elsewhere_noise_is_none(run, place):
    stderr = run.pareto["accuracy_stderr"].iloc[0]
    row = changed(run, by=2 * stderr, **place)
    assert row["agrees"]
    # Two accuracies, more than one candidate: beyond the two standard errors of a single comparison.
    assert 1.96 * 2**0.5 * stderr < row["accuracy_tolerance"] < 5 * stderr
    assert not changed(run, by=-1.01 * row["accuracy_tolerance"], **place)["agrees"]


def test_other_parameters_are_another_network(run):
    assert not changed(run, num_params=1)["agrees"]


def test_not_a_number_does_not_agree(run):
    assert not changed(run, by=float("nan"), device="cuda:0")["agrees"]


def test_what_fails_does_not_agree(run):
    again = measured(run)
    first = next(iter(again))
    frame = replay_frame(run, {**again, first: "out of memory: in a test"})
    assert frame["agrees"].tolist() == [False] + [True] * (len(frame) - 1)
    assert frame.loc[0, "fail_reason"] == "out of memory: in a test"
    assert replay_words(frame).endswith(f"trials {first}.")
