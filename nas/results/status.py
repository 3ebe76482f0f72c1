"""`read_status`: where a search stands, read from its folder while it runs or afterwards."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from nas.optimization.trials import Sitting, num_under_way
from nas.results.damage import whole
from nas.results.folder import RunFolder
from nas.results.noise import Noise
from nas.results.run import Run


@dataclass(frozen=True, slots=True)
class Status:
    """Attributes:
    run: The folder.
    state: "running", "finished" (the budget is used up, or the space), or "stopped" before that.
    exhausted: Whether it finished below the budget because no network of the space is left that was not evaluated.
    budget: Candidates to evaluate.
    measured: Candidates measured; likewise `stopped`, early in their training, and `failed`.
    under_way: Candidates being evaluated; 0 where no search runs.
    eta_s: Seconds to go at the pace since the search was started or resumed; None without one.
    best_reward: The highest; None before the first measurement, and where the objective is without step times.
    best_accuracy: Of the best candidate, which has that reward, or else the highest accuracy; None before the first.
    front_size: Candidates on the Pareto front.
    last_outcome_s: Seconds since a candidate was measured, stopped or failed; None before the first.
    noise: How the spread of candidates compares with their noise; None before the second measurement.
    """

    run: Path
    state: Literal["running", "finished", "stopped"]
    exhausted: bool
    budget: int
    measured: int
    stopped: int
    failed: int
    under_way: int
    eta_s: float | None
    best_reward: float | None
    best_accuracy: float | None
    front_size: int
    last_outcome_s: float | None
    noise: Noise | None


def read_status(path: str | os.PathLike[str]) -> Status:
    """Look at a run. Nothing is written, and a search that works on it does not notice.

    Raises:
        InvalidInputError: If the path is no run, its search has not begun, or it was damaged.
    """
    folder = RunFolder.open(path)
    is_running = folder.is_locked()  # Before the study is read: a search that ends in between is not "stopped" then.
    with whole(folder.path):
        return _status(folder, is_running)


def _status(folder: RunFolder, is_running: bool) -> Status:
    study = folder.read_study()
    run = Run(folder, folder.manifest, study)
    sitting = run.sitting
    budget = run.manifest.settings["budget"] if sitting is None else sitting.budget
    states = run.trials["state"].value_counts()
    done, now = len(run.trials), datetime.now(UTC)
    return Status(
        run=folder.path,
        state="running" if is_running else "finished" if run.is_finished else "stopped",
        exhausted=not is_running and run.is_exhausted,
        budget=budget,
        measured=int(states.get("measured", 0)),
        stopped=int(states.get("stopped", 0)),
        failed=int(states.get("failed", 0)),
        under_way=num_under_way(study) if is_running else 0,
        eta_s=_eta_s(run.trials["ended_utc"], sitting, now) if is_running and sitting is not None else None,
        best_reward=None if run.pareto.empty or run.best_by != "reward" else float(run.best["reward"]),
        best_accuracy=None if run.pareto.empty else float(run.best["accuracy"]),
        front_size=len(run.pareto),
        last_outcome_s=(now - run.trials["ended_utc"].max()).total_seconds() if done else None,
        noise=run.noise,
    )


def _eta_s(ended_utc: "pd.Series[Any]", sitting: Sitting, now: datetime) -> float | None:
    """Return seconds to go at the pace of this sitting; None before its first candidate."""
    began = datetime.fromisoformat(sitting.began_utc)
    done = int((ended_utc >= began).sum())
    left = max(0, sitting.budget - len(ended_utc))
    return left * (now - began).total_seconds() / done if done else None
