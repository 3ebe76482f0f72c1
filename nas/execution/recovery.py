"""Puts a study in order whose driver was killed: nothing told is lost, nothing is evaluated twice."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.optimization.objectives import Objective
from nas.optimization.trials import (
    ARCH_ID,
    describe,
    put_back,
    recorded_end,
    tell_interrupted,
)
from nas.space import Params, SearchSpace


def recover(study: optuna.Study, space: SearchSpace, objective: Objective) -> None:
    """End every running trial or let it wait again. No other driver may be at work on the study.

    A trial whose result is already on record is told it. Any other waits where it was, with its number and its
    parameters, so that the search goes on as if nothing had happened. Being killed in here does no harm: the next
    call goes on with what is left.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        end, params = recorded_end(trial, objective), _params(trial, space)
        if end is not None:
            state, values = end
            study.tell(trial.number, values, state)
        elif params is None:
            if trial.state == TrialState.RUNNING:
                tell_interrupted(study, Trial(study, trial._trial_id))
        else:
            if ARCH_ID not in trial.user_attrs:
                describe(Trial(study, trial._trial_id), space.decode(params))
            if trial.state == TrialState.RUNNING:
                put_back(study, trial)


def _params(trial: FrozenTrial, space: SearchSpace) -> Params | None:
    """Return a trial's parameters, or None if it was killed before the sampler had chosen them all."""
    params: Mapping[str, Any] = trial.system_attrs.get("fixed_params", trial.params)
    return params if set(params) == set(space.choices) else None
