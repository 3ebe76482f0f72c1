"""Importance: which choices of the space decide about accuracy, step time, parameters or reward."""

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import pandas as pd
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial

from nas.errors import did_you_mean, invalid
from nas.optimization.objectives import OBJECTIVES
from nas.optimization.trials import measurement_of
from nas.results.run import Run

TARGETS = {
    metric: direction
    for objective in OBJECTIVES.values()
    for metric, direction in zip(objective.metrics, objective.directions, strict=True)
}
"""What importance is for, and which way is better."""

METHODS = ("ped_anova", "fanova")
MIN_CANDIDATES = 20
_MIN_TOP = 5
_TOP_FRACTION = 0.1


def importance(run: Run, target: str = "accuracy", *, method: str = "ped_anova", seed: int = 0) -> pd.DataFrame:
    """Return how much each choice of the search space matters for a target, most important first.

    Only measured candidates count. A choice that just some of them had is judged from those by "ped_anova" and left
    out by "fanova".

    Args:
        run: A run with at least `MIN_CANDIDATES` measured candidates. Below some hundreds the order of choices that
            matter little is chance.
        target: "accuracy", "relative_step_time", "num_params" or "reward".
        method: "ped_anova" tells what sets the best tenth, or the best five if they are more, apart from the rest
            (Watanabe et al. 2023). "fanova" tells what explains the variance over all candidates (Hutter et al.
            2014); it needs scikit-learn.
        seed: Of the random forest of "fanova"; "ped_anova" draws nothing.

    Returns:
        Columns `choice` (a name as in the space, such as "s3_kernel_size") and `importance` (0 to 1, adding up to 1).

    Raises:
        InvalidInputError: If target or method are unknown, scikit-learn is missing, too few candidates were measured,
            or all have the same value.
    """
    if target not in TARGETS:
        raise invalid("target", "known", target, did_you_mean(target, TARGETS))
    study = _study(run, target)
    found = optuna.importance.get_param_importances(
        study, evaluator=_evaluator(method, len(study.get_trials(deepcopy=False)), seed)
    )
    return pd.DataFrame(
        {"choice": pd.Series(list(found), dtype="string"), "importance": pd.Series(found.values(), dtype="float64")}
    )


def _evaluator(method: str, num_candidates: int, seed: int) -> BaseImportanceEvaluator:
    if method not in METHODS:
        raise invalid("method", "known", method, did_you_mean(method, METHODS))
    if method == "ped_anova":
        return PedAnovaImportanceEvaluator(target_quantile=max(_TOP_FRACTION, _MIN_TOP / num_candidates))
    try:
        return FanovaImportanceEvaluator(seed=seed)
    except ImportError as error:
        raise invalid("method", "ped_anova, without scikit-learn", method, "pip install scikit-learn") from error


def _study(run: Run, target: str) -> optuna.Study:
    """Return a study in memory of the measured candidates alone, with the target as its one value."""
    values = dict(zip(run.trials["number"].tolist(), run.trials[target].tolist(), strict=True))
    trials = [trial for trial in run.candidates if measurement_of(trial) is not None]
    if len(trials) < MIN_CANDIDATES:
        raise invalid(
            "run", f"one with at least {MIN_CANDIDATES} measured candidates", len(trials), "Raise --budget and resume."
        )
    if len({values[trial.number] for trial in trials}) == 1:
        raise invalid("target", "one that differs between candidates", target, "Nothing can matter for it.")
    with _quiet():
        study = optuna.create_study(direction=TARGETS[target])
    study.add_trials([_with_value(trial, float(values[trial.number])) for trial in trials])
    return study


def _with_value(trial: FrozenTrial, value: float) -> FrozenTrial:
    return optuna.trial.create_trial(value=value, params=trial.params, distributions=trial.distributions)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing a study that nobody asked for."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
