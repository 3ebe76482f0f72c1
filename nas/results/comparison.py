"""`compare`: which of two runs found more."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nas.errors import invalid
from nas.optimization.pareto import objective_costs, pareto_front, signs
from nas.results.choose import within
from nas.results.run import PARETO_OBJECTIVES, Run
from nas.results.runs import run_names
from nas.results.volume import hypervolume

COMPARISON_DTYPES = {
    "run": "string",
    "num_candidates": "int64",
    "num_measured": "int64",
    "elapsed_s": "float64",
    "candidates_wall_s": "float64",
    "best_reward": "float64",
    "best_accuracy": "float64",
    "accuracy_within_step_time": "float64",
    "accuracy_within_num_params": "float64",
    "hypervolume": "float64",
    "num_on_joint_front": "int64",
    **{f"reference_{name}": "float64" for name in PARETO_OBJECTIVES},
}


def compare(run_a: Run, run_b: Run) -> pd.DataFrame:
    """Return one row for each of two runs on the same data with the same reference network.

    Columns:

    - `run`: name of its folder, or its path where both have one name,
    - `num_candidates`, `num_measured`: evaluated candidates, and those among them that did not fail,
    - `elapsed_s`: seconds from the first candidate's start to the last one's end, with breaks between resumes,
    - `candidates_wall_s`: seconds spent on measured candidates, added up over workers,
    - `best_reward`, `best_accuracy`: of the measured candidates; higher is better,
    - `accuracy_within_step_time`: best accuracy among candidates that are no slower (relative_step_time) than the
      *other* run's best, which is the one with the highest reward; missing if there is none; higher is better,
    - `accuracy_within_num_params`: likewise among candidates with no more parameters than the other run's best,
    - `hypervolume`: of the objectives of the runs' fronts, up to the common reference point; higher is better,
    - `num_on_joint_front`: candidates on the front of both runs together,
    - `reference_accuracy`, `reference_relative_step_time`, `reference_num_params`: the common reference point, the
      worst value of each objective among all measured candidates of both runs. What is no objective is missing; a
      front of others has columns for those.

    Raises:
        InvalidInputError: If the fronts are of different objectives, the runs' data, reference network, fidelity, timed
            step or the hardware that steps were timed on differ, or a run has no measured candidate.
    """
    run_a.manifest.check_comparable(run_b.manifest)
    if run_a.objectives != run_b.objectives:
        rule = f"one whose front is of the same ({', '.join(run_a.objectives)})"
        raise invalid("objective", rule, run_b.manifest.objective, "Fronts of these runs do not compare.")
    runs, objectives = (run_a, run_b), run_a.objectives
    measured = [run.trials[run.trials["state"] == "measured"] for run in runs]
    bests = [run.best for run in runs]  # raises where nothing was measured
    _check_hardware(*measured)
    both = pd.concat(measured, ignore_index=True)
    point = _worst(both, objectives)
    is_first = pd.Series([True] * len(measured[0]) + [False] * len(measured[1]))
    first_on_front = is_first[pareto_front(both, objectives).index]
    rows = []
    for name, run, mine, other_best, on_front in zip(
        run_names(runs), runs, measured, reversed(bests), (first_on_front, ~first_on_front), strict=True
    ):
        timed = pd.notna(other_best["relative_step_time"])
        as_fast = within(mine, relative_step_time=other_best["relative_step_time"]) if timed else mine.iloc[:0]
        as_small = within(mine, num_params=other_best["num_params"])
        rows.append(
            {
                "run": name,
                **_account(run, mine),
                "accuracy_within_step_time": as_fast["accuracy"].max(),
                "accuracy_within_num_params": as_small["accuracy"].max(),
                "hypervolume": hypervolume(mine, objectives, point),
                "num_on_joint_front": int(on_front.sum()),
                **{f"reference_{name}": value for name, value in point.items()},
            }
        )
    dtypes = COMPARISON_DTYPES | {f"reference_{name}": "float64" for name in objectives}
    return pd.DataFrame(rows).reindex(columns=list(dtypes)).astype(dtypes)


def _account(run: Run, measured: pd.DataFrame) -> dict[str, Any]:
    """Return what a run spent and the best that it found."""
    return {
        "num_candidates": len(run.trials),
        "num_measured": len(measured),
        "elapsed_s": (run.trials["ended_utc"].max() - run.trials["started_utc"].min()).total_seconds(),
        "candidates_wall_s": measured["wall_s"].sum(),
        "best_reward": measured["reward"].max(),
        "best_accuracy": measured["accuracy"].max(),
    }


def _worst(measured: pd.DataFrame, objectives: Mapping[str, str]) -> dict[str, float]:
    """Return the worst value of each objective."""
    worst = objective_costs(measured, objectives).max(axis=0) * signs(list(objectives.values()))
    return dict(zip(objectives, worst.tolist(), strict=True))


def _check_hardware(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """Relative step times of one device say little about another."""
    mine, theirs = (sorted(frame["device_name"].dropna().unique()) for frame in (first, second))
    if mine != theirs:
        raise invalid(
            "device_name", f"the same in both runs ({', '.join(mine)})", theirs, "Compare runs timed on one device."
        )
