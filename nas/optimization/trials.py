"""What the toolkit keeps on Optuna's trials and studies, and the only code that writes or reads it.

A trial that is asked for ends as one of:

- *measured* (COMPLETE): a candidate that was evaluated; its `Measurement` is a user attribute,
- *stopped* (PRUNED with a measurement): a candidate whose training was stopped early; it used up budget,
- *failed* (FAIL with a reason): a candidate whose evaluation failed; it used up budget,
- *repeat* (as the original, with `repeat_of`): equal to an earlier candidate, whose values it is told; free,
- *outside* (PRUNED, constraint above 0): outside the space's bounds or kept out by a signal, never trained; free,
- *passed on* (FAIL without a reason): its driver was lost, and a copy of it waits; free,
- *interrupted* (FAIL with `interrupted`): was running when its driver ended, and nobody goes on with it; free.

Some measured candidates are trained again with other seeds. Each such training is an attribute of the study, see
`NoiseRepeat`, and no trial: samplers do not see it.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.evaluation.measurement import Measurement
from nas.optimization.objectives import Objective
from nas.space import SearchSpace
from nas.spec import ArchSpec

ARCH = "arch"
ARCH_ID = "arch_id"
MEASUREMENT = "measurement"
FAIL_REASON = "fail_reason"
REPEAT_OF = "repeat_of"
INTERRUPTED = "interrupted"
DRIVER = "driver"
"""Which of several drivers a trial runs at."""
ORIGIN = "origin"
"""Where the parameters came from: "sampler", the name of the reference network in a warm start, or "random" where the
sampler had proposed nothing new for a while."""
PROPOSED_ORIGINS = ("sampler", "random")
"""The origins that are not the name of a reference network."""
_SITTING = "sitting"
_NOISE_REPEAT = "noise_repeat_"
_SIGNAL = "prefilter_signal"


@dataclass(frozen=True, slots=True)
class Sitting:
    """One call of the verb that works on a study; the study keeps the last one.

    Attributes:
        budget: Candidates that the study is to hold at its end.
        began_utc: ISO 8601, UTC.
        exhausted: Whether it ended below the budget because no network of the space was left.
    """

    budget: int
    began_utc: str
    exhausted: bool = False


def note_sitting(study: optuna.Study, budget: int) -> None:
    """Keep on a study that a driver now begins to work on it."""
    study.set_user_attr(_SITTING, asdict(Sitting(budget, datetime.now(UTC).isoformat())))


def note_end(study: optuna.Study, *, exhausted: bool) -> None:
    """Keep on a study why its last sitting ended, until the next one begins."""
    sitting = sitting_of(study)
    if exhausted and sitting is not None:
        study.set_user_attr(_SITTING, asdict(replace(sitting, exhausted=True)))


def sitting_of(study: optuna.Study) -> Sitting | None:
    """Return the last sitting, or None for a study from before they were kept."""
    plain: dict[str, Any] | None = study.user_attrs.get(_SITTING)
    return None if plain is None else Sitting(**plain)


def describe(trial: Trial, spec: ArchSpec) -> None:
    """Keep on a running trial which network it is."""
    trial.set_user_attr(ARCH, spec.to_dict())
    trial.set_user_attr(ARCH_ID, spec.arch_id)


def _tell(
    study: optuna.Study, trial: Trial, values: Sequence[float] | None = None, state: TrialState | None = None
) -> None:
    """Tell a study of a trial's end; raise UpdateFinishedTrialError if another driver has ended it."""
    try:
        study.tell(trial, values, state)
    except ValueError as error:
        if trial.storage.get_trial(trial._trial_id).state.is_finished():
            raise UpdateFinishedTrialError(f"Trial {trial.number} has ended already.") from error
        raise


def tell_measured(study: optuna.Study, trial: Trial, measurement: Measurement, objective: Objective) -> None:
    """End a trial with what was measured. The measurement is one record, so that a kill leaves all of it or nothing."""
    trial.set_user_attr(MEASUREMENT, measurement.to_dict())
    _tell(study, trial, objective.values(measurement))


def tell_stopped(study: optuna.Study, trial: Trial, measurement: Measurement) -> None:
    """End a trial whose training was stopped early. It has no values: what it would have reached is not known."""
    trial.set_user_attr(MEASUREMENT, measurement.to_dict())
    _tell(study, trial, state=TrialState.PRUNED)


def tell_failed(study: optuna.Study, trial: Trial, reason: str) -> None:
    """End a trial whose evaluation failed."""
    trial.set_user_attr(FAIL_REASON, reason)
    _tell(study, trial, state=TrialState.FAIL)


def tell_repeat(study: optuna.Study, trial: Trial, original: FrozenTrial) -> None:
    """End a trial that is equal to a finished one, with the same values, or in the same state without any."""
    trial.set_user_attr(REPEAT_OF, original.number)
    if original.state == TrialState.COMPLETE:
        _tell(study, trial, original.values)
    else:
        _tell(study, trial, state=original.state)


def tell_outside(study: optuna.Study, trial: Trial, excess: float) -> None:
    """End a trial outside the space's bounds; samplers that know constraints learn from `excess`."""
    trial.set_constraint("bounds", excess)
    study.tell(trial, state=TrialState.PRUNED)


def note_signal(trial: Trial, signal: float | None) -> None:
    """Keep on a running trial by which signal it was judged before it was evaluated."""
    trial.set_user_attr(_SIGNAL, signal)


def signals_of(study: optuna.Study) -> list[float | None]:
    """Return the signals that were noted; those of interrupted trials are not, which are judged again."""
    trials = study.get_trials(deepcopy=False)
    noted = (trial.user_attrs for trial in trials if _SIGNAL in trial.user_attrs)
    return [attributes[_SIGNAL] for attributes in noted if INTERRUPTED not in attributes]


def tell_interrupted(study: optuna.Study, trial: Trial) -> None:
    """End a trial that was running when its search stopped, and that cannot be gone on with."""
    trial.set_user_attr(INTERRUPTED, True)
    study.tell(trial, state=TrialState.FAIL)


def take(study: optuna.Study, space: SearchSpace, number: int) -> Trial | None:
    """Let a trial that waits run; return it, or None if another driver was faster."""
    trial = Trial(study, study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number))
    if not move(study, trial, TrialState.RUNNING):
        return None
    if len(trial.params) < len(space.choices):
        space.suggest(trial)  # Where its parameters are only promised to it, as by `Study.enqueue_trial`.
    return trial


def put_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Let a running trial wait again, with its number and parameters. Only for a study with a single driver."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def move(
    study: optuna.Study, trial: FrozenTrial | Trial, state: TrialState, values: Sequence[float] | None = None
) -> bool:
    """Bring a trial of a shared study into another state; return False if another driver was faster.

    A trial is taken once and ends once, for whoever is first: that keeps two drivers from both going on with it.
    """
    try:
        return study._storage.set_trial_state_values(trial._trial_id, state, values)
    except UpdateFinishedTrialError:
        return False


def pass_on(study: optuna.Study, trial: FrozenTrial) -> bool:
    """End a running trial of a shared study and let a copy of it wait; return False if it has ended already."""
    if not move(study, trial, TrialState.FAIL):
        return False
    copy = deepcopy(trial)
    copy.state = TrialState.WAITING
    copy.user_attrs.pop(DRIVER, None)
    study._storage.create_new_trial(study._study_id, template_trial=copy)
    return True


def is_candidate(trial: FrozenTrial) -> bool:
    """Whether a finished trial was evaluated and so used up budget."""
    if REPEAT_OF in trial.user_attrs or INTERRUPTED in trial.user_attrs:
        return False
    if trial.state == TrialState.COMPLETE:
        return True
    reason = {TrialState.FAIL: FAIL_REASON, TrialState.PRUNED: MEASUREMENT}.get(trial.state)
    return reason in trial.user_attrs


def candidates(study: optuna.Study) -> list[FrozenTrial]:
    """Return the evaluated trials, measured, stopped and failed, in the order in which they were asked for."""
    return [trial for trial in study.get_trials(deepcopy=False) if is_candidate(trial)]


def measurement_of(trial: FrozenTrial) -> Measurement | None:
    """Return what was measured of a candidate that was trained to the end, or None."""
    measurement = any_measurement_of(trial)
    return None if measurement is None or measurement.stopped else measurement


def any_measurement_of(trial: FrozenTrial) -> Measurement | None:
    """Return what was measured of a trial, also where its training was stopped early; or None."""
    plain: dict[str, Any] | None = trial.user_attrs.get(MEASUREMENT)
    return None if plain is None else Measurement.from_dict(plain)


def recorded_end(trial: FrozenTrial, objective: Objective) -> tuple[TrialState, list[float] | None] | None:
    """Return the state and the values of a trial whose outcome is on record, whether it was told or not; or None."""
    measurement = any_measurement_of(trial)
    if measurement is None:
        return (TrialState.FAIL, None) if FAIL_REASON in trial.user_attrs else None
    return (TrialState.PRUNED, None) if measurement.stopped else (TrialState.COMPLETE, objective.values(measurement))


def expected_values(trial: FrozenTrial, objective: Objective) -> list[float] | None:
    """Return the objective's values of a candidate; None for one that failed, for repeats and for other trials.

    Of one that was stopped early they are what was expected of its training, or where nothing was, what it had reached:
    too little, but it was stopped for being behind.
    """
    if REPEAT_OF in trial.user_attrs:
        return None
    if trial.state == TrialState.COMPLETE:
        return list(trial.values)
    measurement = any_measurement_of(trial) if trial.state == TrialState.PRUNED else None
    if measurement is None:
        return None
    expected = measurement.predicted_accuracy
    return objective.values(measurement if expected is None else replace(measurement, accuracy=expected))


@dataclass(frozen=True, slots=True)
class NoiseRepeat:
    """A measured candidate that was trained again with another seed.

    Attributes:
        repeat: 1, 2 and so on, unique in the study.
        number: Of the candidate's trial.
        measurement: What was measured this time; None where it failed.
        fail_reason: Why there is no measurement; None where there is one.
    """

    repeat: int
    number: int
    measurement: Measurement | None
    fail_reason: str | None = None


def note_noise_repeat(study: optuna.Study, done: NoiseRepeat) -> None:
    """Keep a repeat on a study, as one record: a kill leaves all of it or nothing."""
    study.set_user_attr(f"{_NOISE_REPEAT}{done.repeat}", asdict(done))


def noise_repeats(study: optuna.Study) -> list[NoiseRepeat]:
    """Return the repeats that were done, failed ones too, by their number."""
    found = []
    for name, plain in study.user_attrs.items():
        if name.startswith(_NOISE_REPEAT):
            measured = plain["measurement"]
            measurement = None if measured is None else Measurement.from_dict(measured)
            found.append(NoiseRepeat(**{**plain, "measurement": measurement}))
    return sorted(found, key=lambda done: done.repeat)


def num_under_way(study: optuna.Study) -> int:
    """Return how many candidates are being evaluated; trials that wait for an equal one do not count."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return len({trial.user_attrs[ARCH_ID] for trial in running if ARCH_ID in trial.user_attrs})


def spec_of(trial: FrozenTrial) -> ArchSpec:
    """Return the network that a described trial stands for."""
    return ArchSpec.from_dict(trial.user_attrs[ARCH])
