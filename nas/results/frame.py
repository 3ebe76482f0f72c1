"""A study as a table: one row per evaluated candidate."""

import math
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from nas.errors import invalid
from nas.evaluation.measurement import Measurement
from nas.optimization.objectives import measurement_reward
from nas.optimization.trials import ARCH_ID, FAIL_REASON, ORIGIN, any_measurement_of, candidates, spec_of
from nas.results.noise import seed_noise

_FIRST_MEASURED = (
    "accuracy",
    "accuracy_stderr",
    "step_time_s",
    "relative_step_time",
    "num_params",
    "num_macs",
    "reward",
    "wall_s",
)
_NO_COLUMNS = ("rungs", "stopped")
"""Fields that are a table of their own, or that the state says."""
_AT_THE_END = (
    *("accuracy", "accuracy_stderr", "accuracy_sampling_stderr", "accuracy_seed_stderr"),
    *("train_loss", "val_loss", "reward"),
)
"""What only a whole training tells; where one was stopped, its rungs say how it did."""
_MEASURED_DTYPES = {"float": "float64", "int": "Int64", "str": "string", "bool": "boolean"}


def _dtypes() -> dict[str, str]:
    """Return every fixed column's dtype, in the order of the columns."""
    annotations = {f.name: _annotation(f.type) for f in fields(Measurement) if f.name not in _NO_COLUMNS}
    measured = {name: _MEASURED_DTYPES[annotation] for name, annotation in annotations.items()} | {"reward": "float64"}
    first = {name: measured.pop(name) for name in _FIRST_MEASURED}
    return {
        "number": "int64",
        "state": "string",
        "arch_id": "string",
        **first,
        "fail_reason": "string",
        "accuracy_sampling_stderr": "float64",
        "accuracy_seed_stderr": "float64",
        **measured,
        "origin": "string",
        "started_utc": "datetime64[us, UTC]",
        "ended_utc": "datetime64[us, UTC]",
        "arch": "string",
    }


def _annotation(annotation: Any) -> str:
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return name.removesuffix(" | None")


COLUMN_DTYPES = _dtypes()


def trials_frame(study: optuna.Study) -> pd.DataFrame:
    """Return the evaluated candidates of a study, in the order in which they were asked for.

    Repeats, candidates outside the bounds and interrupted ones are not evaluated and have no row. Columns that were
    not measured are missing (NaN or NA) in a failed row; in a stopped one those are accuracy, its standard error, the
    training loss and the reward. Numbers of the study can be larger than the number of rows.

    Columns:

    - `number`: the trial's number in the study, unique,
    - `state`: "measured", "stopped" (early in its training) or "failed",
    - `arch_id`: equal for equal networks,
    - the fields of `nas.evaluation.measurement.Measurement` under their names, with their units,
    - `accuracy_stderr`: standard error of `accuracy` from the number of validation images and from the seed, together;
      the two parts are `accuracy_sampling_stderr` and `accuracy_seed_stderr`, which is missing where it was not
      measured (see `nas.results.noise`),
    - `reward`: the paper's; higher is better,
    - `fail_reason`: why it failed; missing where it was measured,
    - `origin`: where the candidate came from, for example "sampler" or the name of a reference network,
    - `started_utc`, `ended_utc`: when the trial was asked for and told,
    - `arch`: the stages in one line (`ArchSpec.summary`),
    - `param_<name>`: what was chosen, one column per choice of the space; none while the study has no candidate.

    Data types are the same for an empty study: whole numbers that can be missing are Int64, yes
    and no "boolean", texts "string".
    """
    trials = candidates(study)
    seed = seed_noise(study)
    rows = [_row(trial, None if seed is None else seed.sd) for trial in trials]
    frame = pd.DataFrame(
        {name: pd.Series([_text(row[name]) for row in rows], dtype=dtype) for name, dtype in COLUMN_DTYPES.items()}
    )
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    chosen = {f"param_{_text(name)}": _choices([trial.params.get(name) for trial in trials]) for name in params}
    return pd.concat([frame, pd.DataFrame(chosen, index=frame.index)], axis="columns")


def _row(trial: FrozenTrial, seed_stderr: float | None) -> dict[str, Any]:
    measurement = any_measurement_of(trial)
    row: dict[str, Any] = dict.fromkeys(COLUMN_DTYPES)
    if measurement is not None:
        row |= {
            **measurement.to_dict(),
            "accuracy_stderr": math.hypot(measurement.accuracy_stderr, seed_stderr or 0.0),
            "accuracy_sampling_stderr": measurement.accuracy_stderr,
            "accuracy_seed_stderr": seed_stderr,
            "reward": measurement_reward(measurement),
        }
    if measurement is not None and measurement.stopped:
        row |= dict.fromkeys(_AT_THE_END)
    return row | {
        "number": trial.number,
        "state": "failed" if measurement is None else "stopped" if measurement.stopped else "measured",
        "arch_id": _arch_id(trial),
        "fail_reason": trial.user_attrs.get(FAIL_REASON),
        "origin": trial.user_attrs.get(ORIGIN),
        "started_utc": _utc(trial.datetime_start),
        "ended_utc": _utc(trial.datetime_complete),
        "arch": spec_of(trial).summary,
    }


def _arch_id(trial: FrozenTrial) -> str:
    arch_id = trial.user_attrs[ARCH_ID]
    if not isinstance(arch_id, str):
        raise invalid(f"arch_id of trial {trial.number}", "a text", arch_id, "It was edited.")
    return arch_id


def _choices(values: list[Any]) -> "pd.Series[Any]":
    whole = all(isinstance(value, int) for value in values if value is not None)
    return pd.Series(list(map(_text, values)), dtype="Int64" if whole else "string")


def _text(value: Any) -> Any:
    """Return texts with halves of surrogate pairs, which tables cannot hold, as escapes; all else as it is."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _utc(local: datetime | None) -> datetime | None:
    """Optuna tells local time without saying so."""
    return None if local is None else local.astimezone(UTC)
