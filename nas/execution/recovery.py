"""Puts a study in order whose driver was killed: nothing told is lost, nothing is evaluated twice."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.execution.ledger import Key, key_of, key_of_trial
from nas.optimization.objectives import Objective
from nas.optimization.trials import FAIL_REASON, ORIGIN, candidates, measurement_of, tell_interrupted
from nas.space import Params, SearchSpace


def recover(study: optuna.Study, space: SearchSpace, objective: Objective) -> None:
    """End every running trial. No other driver may be at work on the study.

    A trial whose result is already on record is told it. Any other is marked interrupted and, unless an equal
    network has been evaluated or waits, its parameters are queued again. Being killed in here does no harm: the next
    call goes on with what is left.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if not running:
        return
    known: set[Key] = {key_of_trial(trial) for trial in candidates(study)}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        known.add(key_of(space.decode(trial.system_attrs["fixed_params"])))
    unfinished = []
    for trial in running:
        measurement = measurement_of(trial)
        if measurement is not None:
            study.tell(trial.number, objective.values(measurement))
        elif FAIL_REASON in trial.user_attrs:
            study.tell(trial.number, state=TrialState.FAIL)
        else:
            unfinished.append(trial)
            continue
        known.add(key_of_trial(trial))
    for trial in unfinished:
        params = _params(trial, space)
        if params is not None and key_of(space.decode(params)) not in known:
            # Queued before it is marked: killed in between, the next recovery sees the copy and adds none.
            study.enqueue_trial(dict(params), user_attrs=_origin(trial))
            known.add(key_of(space.decode(params)))
        tell_interrupted(study, Trial(study, trial._trial_id))


def _params(trial: FrozenTrial, space: SearchSpace) -> Params | None:
    """Return a trial's parameters, or None if it was killed before the sampler had chosen them all."""
    params: Mapping[str, Any] = trial.system_attrs.get("fixed_params", trial.params)
    return params if set(params) == set(space.choices) else None


def _origin(trial: FrozenTrial) -> dict[str, str]:
    return {ORIGIN: trial.user_attrs.get(ORIGIN, "sampler")}
