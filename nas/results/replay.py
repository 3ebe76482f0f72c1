"""A replay: the front and the reference networks of a run, evaluated again and compared with what was measured."""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from nas.errors import invalid
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job, job_seed
from nas.evaluation.measurement import Measurement
from nas.optimization.trials import PROPOSED_ORIGINS, measurement_of
from nas.results.run import Run

_FALSE_ALARMS = 0.05
"""Of replays in which nothing but noise differs, the share that may find a difference."""

REPLAY_DTYPES = {
    "number": "int64",
    "arch_id": "string",
    "origin": "string",
    "on_front": "boolean",
    "agrees": "boolean",
    "accuracy": "float64",
    "accuracy_again": "float64",
    "accuracy_difference": "float64",
    "accuracy_tolerance": "float64",
    "step_time_s": "float64",
    "step_time_s_again": "float64",
    "relative_step_time": "float64",
    "relative_step_time_again": "float64",
    "num_params": "Int64",
    "num_params_again": "Int64",
    "fail_reason": "string",
    "arch": "string",
}
_COMPARED = ("accuracy", "step_time_s", "relative_step_time", "num_params")
_PLACE = ("device_name", "dtype", "torch_version")


def replay_jobs(run: Run, fidelity: Fidelity) -> list[Job]:
    """Return the jobs of a run's front, the best first, and of its reference networks, with the seeds they had.

    Raises:
        InvalidInputError: If no candidate was measured.
    """
    if run.pareto.empty:
        raise invalid("run", "one with a measured candidate", str(run.folder.path), "There is nothing to replay.")
    measured = run.trials[run.trials["state"] == "measured"]
    references = measured.loc[~measured["origin"].fillna("sampler").isin(PROPOSED_ORIGINS), "number"]
    measurements = _measurements(run)
    jobs = []
    for number in dict.fromkeys([*run.pareto["number"].tolist(), *references.tolist()]):
        seed = measurements[number].seed
        seed = job_seed(run.manifest.seed, fidelity) if seed is None else seed
        jobs.append(Job(number, run.spec(number), fidelity, seed))
    return jobs


def replay_frame(run: Run, again: Mapping[int, Measurement | str]) -> pd.DataFrame:
    """Compare what was measured again with what the run says.

    Args:
        run: That was replayed.
        again: By trial number, what was measured now, or why it failed.

    Returns:
        One row per candidate, in the order of `again`:

        - `number`, `arch_id`, `origin`, `arch`: as in the run's trials; `on_front`: whether it is on the front,
        - `accuracy`, `step_time_s`, `relative_step_time`, `num_params`: as in the run; with `_again`, as now,
        - `accuracy_difference`: now less then; `accuracy_tolerance`: what of it is no finding. That is 0 where both
          were computed by the same torch on the same CPU, or looked up. Elsewhere rounding differs, which a training
          makes as large as the noise of a seed: then it is so many standard errors of the difference that noise alone
          goes beyond it for any of the rows in one replay of 20,
        - `agrees`: whether the accuracy does, and the parameters are as many,
        - `fail_reason`: why it failed now; missing where it did not.
    """
    before = _measurements(run)
    known = run.trials.set_index("number")
    num_stderrs = NormalDist().inv_cdf(1 - _FALSE_ALARMS / (2 * max(1, len(again))))
    on_front = set(run.pareto["number"])
    rows = []
    for number, now in again.items():
        then, row = before[number], known.loc[number]
        noise = num_stderrs * float(np.hypot(row["accuracy_stderr"], row["accuracy_stderr"]))
        rows.append(
            {
                **{name: row[name] for name in ("arch_id", "origin", "arch", *_COMPARED)},
                **{"number": number, "on_front": number in on_front},
                **_compared(then, now, noise),
            }
        )
    return pd.DataFrame(rows, columns=list(REPLAY_DTYPES)).astype(REPLAY_DTYPES)


def _compared(then: Measurement, now: Measurement | str, noise: float) -> dict[str, Any]:
    if isinstance(now, str):
        return {"agrees": False, "fail_reason": now}
    tolerance = 0.0 if _computed_alike(then, now) else noise
    difference = now.accuracy - then.accuracy
    return {
        "agrees": abs(difference) <= tolerance and now.num_params == then.num_params,
        "accuracy_difference": difference,
        "accuracy_tolerance": tolerance,
        **{f"{name}_again": getattr(now, name) for name in _COMPARED},
    }


def _computed_alike(then: Measurement, now: Measurement) -> bool:
    """Whether accuracies must be equal to the last bit. Accelerators add in no fixed order."""
    places = [(each.device or "cpu", *(getattr(each, name) for name in _PLACE)) for each in (then, now)]
    return places[0] == places[1] and places[0][0] == "cpu"


def _measurements(run: Run) -> dict[int, Measurement]:
    found = {trial.number: measurement_of(trial) for trial in run.candidates}
    return {number: measurement for number, measurement in found.items() if measurement is not None}


def replay_words(frame: pd.DataFrame) -> str:
    """Return what a replay found, in a sentence or two."""
    differing = frame.loc[~frame["agrees"], "number"].tolist()
    exact = int((frame["accuracy_tolerance"] == 0).sum())
    if not differing:
        return f"All {len(frame)} candidates agree: {exact} exactly, {len(frame) - exact} within noise."
    numbers = ", ".join(map(str, differing))
    return f"{len(differing)} of {len(frame)} candidates do not agree with what was measured: trials {numbers}."


def replay_table(frame: pd.DataFrame) -> Table:
    """Return a replay for a terminal."""
    table = Table(title="Replay", caption="then > now")
    for name in ("Trial", "Agrees", "Accuracy", "Difference", "Tolerance", "Step (ms)", "Relative", "Params"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in frame.to_dict("records"):
        table.add_row(
            str(row["number"]),
            "yes" if row["agrees"] else "no",
            _pair(row, "accuracy", "{:.2%}"),
            _cell(row["accuracy_difference"], "{:+.2%}"),
            _cell(row["accuracy_tolerance"], "{:.2%}"),
            _pair(row, "step_time_s", "{:.2f}", 1e3),
            _pair(row, "relative_step_time", "{:.2f}"),
            _pair(row, "num_params", "{:,}"),
        )
    return table


def _pair(row: Mapping[Any, Any], name: str, form: str, factor: int | float = 1) -> str:
    return f"{_cell(row[name], form, factor)} > {_cell(row[f'{name}_again'], form, factor)}"


def _cell(value: Any, form: str, factor: int | float = 1) -> str:
    return "" if pd.isna(value) else form.format(value * factor)
