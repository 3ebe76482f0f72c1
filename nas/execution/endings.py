"""How a candidate ended: told to the study, or read from it, as the event that it is."""

import math

import optuna
from optuna.trial import FrozenTrial, Trial

from nas.evaluation.job import Job
from nas.execution.events import Candidate, Failed, Measured, Stopped
from nas.execution.job import Failure, Outcome
from nas.optimization.objectives import Objective, measurement_reward
from nas.optimization.trials import (
    FAIL_REASON,
    any_measurement_of,
    spec_of,
    tell_failed,
    tell_measured,
    tell_stopped,
)


def tell(study: optuna.Study, trial: Trial, job: Job, outcome: Outcome, objective: Objective) -> Candidate:
    """End a candidate's trial with what came of its job.

    Raises:
        UpdateFinishedTrialError: If it has ended already.
    """
    if not isinstance(outcome, Failure) and not all(map(math.isfinite, objective.values(outcome))):
        # Optuna would turn it into a failure without a reason, which would not use up budget.
        outcome = Failure("diverged", f"diverged: {objective.name} is {objective.values(outcome)}")
    if isinstance(outcome, Failure):
        tell_failed(study, trial, outcome.reason)
        return Failed(job.number, job.spec, outcome.reason)
    if outcome.stopped:
        tell_stopped(study, trial, outcome)
        return Stopped(job.number, job.spec, outcome)
    tell_measured(study, trial, outcome, objective)
    return Measured(job.number, job.spec, outcome, measurement_reward(outcome))


def ending_of(trial: FrozenTrial) -> Candidate:
    """Return how a candidate of a study ended."""
    measurement = any_measurement_of(trial)
    if measurement is None:
        return Failed(trial.number, spec_of(trial), trial.user_attrs[FAIL_REASON])
    if measurement.stopped:
        return Stopped(trial.number, spec_of(trial), measurement)
    return Measured(trial.number, spec_of(trial), measurement, measurement_reward(measurement))
