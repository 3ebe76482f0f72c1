"""What a report says in numbers, as tables and records. Nothing here knows of pages or pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.optimization.pareto import pareto_front
from nas.optimization.trials import PROPOSED_ORIGINS
from nas.results.importances import MIN_CANDIDATES, importance
from nas.results.run import Run
from nas.results.volume import dominated_volume

MAX_VOLUMES = 500
"""Hypervolumes that are computed at most: each costs a sort."""


def measured(run: Run) -> pd.DataFrame:
    """Return the measured candidates; columns as in `trials`."""
    return run.trials[run.trials["state"] == "measured"]


def references(run: Run) -> pd.DataFrame:
    """Return the measured reference networks, which the search began with; `origin` holds their names."""
    rows = measured(run)
    return rows[rows["origin"].notna() & ~rows["origin"].isin(PROPOSED_ORIGINS)]


def plane_front(run: Run, cost: str) -> pd.DataFrame:
    """Return the candidates that none beats in accuracy and one cost (a column, lower is better), cheapest first."""
    return pareto_front(measured(run), {cost: "min", "accuracy": "max"}).drop_duplicates([cost, "accuracy"])


def hypervolume_history(run: Run) -> pd.DataFrame:
    """Return columns `number` (of the trial) and `hypervolume`, a row a measured candidate, as they were asked for.

    Of a long run there are `MAX_VOLUMES` rows, the last candidate's among them.

    The hypervolume is the share of a box that the candidates so far beat, 0 to 1, higher is better. The box reaches
    from the worst to the best value of each objective in the run, costs on a logarithmic scale.
    """
    rows = measured(run)
    costs = _unit_costs(rows, run.objectives)
    ends = np.unique(np.linspace(1, len(rows), MAX_VOLUMES).astype(int)) if len(rows) > MAX_VOLUMES else None
    volumes = [
        dominated_volume(costs[:end], np.ones(costs.shape[1]))
        for end in (range(1, len(rows) + 1) if ends is None else ends)
    ]
    numbers = rows["number"].to_numpy()
    return pd.DataFrame({"number": numbers if ends is None else numbers[ends - 1], "hypervolume": volumes})


def _unit_costs(rows: pd.DataFrame, objectives: Mapping[str, str]) -> NDArray[np.float64]:
    """Return a row a candidate and a column an objective: from 0, the best of the run, to 1, its worst."""
    values = rows[list(objectives)].to_numpy(dtype=np.float64)
    costs = np.column_stack([-values[:, 0], np.log(values[:, 1:])])
    if len(costs) == 0:
        return costs
    low, high = costs.min(axis=0), costs.max(axis=0)
    unit: NDArray[np.float64] = (costs - low) / np.where(high > low, high - low, 1.0)
    return unit


def best_rewards(run: Run) -> pd.DataFrame:
    """Return columns `number`, `value` and `best` (so far), a row a measured candidate.

    `value` is what tells the best candidate, the reward or else accuracy; higher is better.
    """
    rows = measured(run)
    value = rows[run.best_by].astype(float)
    return pd.DataFrame({"number": rows["number"], "value": value, "best": value.cummax()})


def choice_shares(run: Run) -> pd.DataFrame:
    """Return what stages are made of: columns `stage` (from 1), `choice`, `front` and `all`.

    `front` and `all` are shares, 0 to 1, of the networks on the front and of all measured ones that have the stage.
    Choices are "Fused-MBConv", and kernel sizes and expansion ratios that occur.
    """
    on_front = set(run.pareto["number"])
    rows = [
        (number, choice, candidate in on_front)
        for candidate in measured(run)["number"]
        for number, stage in enumerate(run.spec(int(candidate)).stages, start=1)
        for choice in (
            ("block", stage.block == "fused"),
            ("kernel", stage.kernel_size),
            ("expand", stage.expand_ratio),
        )
    ]
    found = pd.DataFrame([(s, kind, value, f) for s, (kind, value), f in rows], columns=["stage", "kind", "value", "f"])
    shares = []
    for kind, label in (("block", "Fused-MBConv"), ("kernel", "Kernel {0}x{0}"), ("expand", "Expansion {}")):
        of_kind = found[found["kind"] == kind]
        values = [True] if kind == "block" else sorted(of_kind["value"].unique())
        for stage, group in of_kind.groupby("stage"):
            chosen = group["f"]
            for value in values:
                same = group["value"] == value
                shares.append((stage, label.format(value), same[chosen].mean(), same.mean()))
    return pd.DataFrame(shares, columns=["stage", "choice", "front", "all"])


def importances(run: Run) -> pd.DataFrame:
    """Return how much each choice of the space matters, by PED-ANOVA; see `nas.results.importance`.

    Returns:
        A row a choice, the most important for accuracy first, with columns `choice` and the objectives in which
        candidates differ; each sums to 1. Empty where fewer than `MIN_CANDIDATES` candidates were measured.
    """
    rows = measured(run)
    if len(rows) < MIN_CANDIDATES:
        return pd.DataFrame(columns=["choice", *run.objectives])
    found = {
        objective: importance(run, objective).set_index("choice")["importance"]
        if rows[objective].nunique() > 1
        else 0.0
        for objective in run.objectives
    }
    table = pd.DataFrame(found).fillna(0.0).rename_axis("choice").reset_index()
    return table.sort_values("accuracy", ascending=False, kind="stable", ignore_index=True)


@dataclass(frozen=True, slots=True)
class StepTimeNoise:
    """Attributes:
    interval_widths: A value a candidate: 95% interval of relative step time / that time; where a run has none, the
        interquartile range takes its place.
    has_intervals: Whether they are 95% intervals.
    exclusive: Share of timings while nothing else of the toolkit ran on the device; None where nobody recorded it.
    predicted: Share of step times that are predicted.
    """

    interval_widths: NDArray[np.float64]
    has_intervals: bool
    exclusive: float | None
    predicted: float


def step_time_noise(run: Run) -> StepTimeNoise:
    """Return how precisely the step times of at least one measured candidate are known."""
    rows = measured(run)
    has_intervals = bool(rows["relative_step_time_low"].notna().any())
    widths = (
        rows["relative_step_time_high"] - rows["relative_step_time_low"]
        if has_intervals
        else rows["relative_step_time_spread"]
    )
    timed = rows["timing_source"].eq("measured").fillna(False).astype(bool)
    recorded = rows["exclusive"].dropna()
    return StepTimeNoise(
        interval_widths=(widths / rows["relative_step_time"])[timed].dropna().to_numpy(dtype=np.float64),
        has_intervals=has_intervals,
        exclusive=float(recorded.astype(float).mean()) if len(recorded) else None,
        predicted=float(rows["timing_source"].str.startswith("predicted").fillna(False).mean()),
    )


def cost_account(run: Run) -> pd.DataFrame:
    """Return where the seconds of all workers went: columns `what`, `seconds`, `share`; none while nothing ended.

    Training is without its pauses. "Building, counting" is what is left of a candidate's own time, "driver" the time
    between asking and telling beyond that.
    """
    rows = measured(run)
    total = (run.trials["ended_utc"] - run.trials["started_utc"]).dt.total_seconds()
    paused, waited = rows["paused_s"].fillna(0.0).sum(), rows["lease_wait_s"].fillna(0.0).sum()
    training, timing = max(rows["train_s"].sum() - paused, 0.0), rows["timing_s"].sum()
    own = rows["wall_s"].sum()
    seconds = {
        "Training and validation": training,
        "Timing steps": timing,
        "Waiting to time alone": waited,
        "Paused for others' timings": paused,
        "Building, counting": own - training - timing - waited - paused,
        "Driver and queue": total[rows.index].sum() - own,
        "Candidates stopped early": total[run.trials["state"] == "stopped"].sum(),
        "Failed candidates": total[run.trials["state"] == "failed"].sum(),
    }
    table = pd.DataFrame({"what": list(seconds), "seconds": [max(float(value), 0.0) for value in seconds.values()]})
    whole = table["seconds"].sum()
    table["share"] = table["seconds"] / whole if whole > 0 else 0.0
    return table if whole > 0 else table.iloc[:0]


def elapsed_s(run: Run) -> float:
    """Return seconds from the first candidate's beginning to the last one's end, breaks included; 0 without any."""
    if run.trials["ended_utc"].notna().sum() == 0:
        return 0.0
    return float((run.trials["ended_utc"].max() - run.trials["started_utc"].min()).total_seconds())


def failures(run: Run) -> pd.DataFrame:
    """Return columns `reason`, `count` and `example` (a trial's number), the most frequent first."""
    failed = run.trials[run.trials["state"] == "failed"]
    grouped = failed.assign(reason=failed["fail_reason"].fillna("unknown")).groupby("reason", sort=True)["number"]
    table = pd.DataFrame({"count": grouped.size(), "example": grouped.first()}).reset_index()
    return table.sort_values("count", ascending=False, kind="stable", ignore_index=True)
