"""Pareto fronts: which candidates no other candidate beats."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.errors import did_you_mean, invalid

_SIGNS = {"min": 1.0, "minimize": 1.0, "max": -1.0, "maximize": -1.0}


def pareto_mask(values: NDArray[np.float64], directions: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows are on the Pareto front.

    A row is on it unless another one is at least as good everywhere and better somewhere. Equal rows stay or go
    together. A row with a NaN is never on the front and beats nobody.

    Args:
        values: Shape (N, M): one row per candidate, one column per objective.
        directions: M words, "min" or "max" ("minimize" and "maximize" mean the same).

    Returns:
        Shape (N,), in the order of the rows. Up to three objectives cost O(N log N), more cost O(N * front).

    Raises:
        InvalidInputError: If the shape and the directions do not fit.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(directions) or not directions:
        raise invalid("values", f"of shape (N, {len(directions)})", values.shape, "Give one direction per column.")
    costs = values * signs(directions) + 0.0  # + 0.0: no negative zeros
    mask: NDArray[np.bool_] = ~np.any(np.isnan(costs), axis=1)
    unique, inverse = np.unique(costs[mask], axis=0, return_inverse=True)
    front = _sweep(unique) if len(directions) <= 3 else _cull(unique)
    mask[mask] = front[inverse.reshape(-1)]
    return mask


def signs(directions: Sequence[str]) -> NDArray[np.float64]:
    """Return 1 for each "min" and -1 for each "max"; raise InvalidInputError for any other direction."""
    for direction in directions:
        if direction not in _SIGNS:
            raise invalid("direction", '"min" or "max"', direction, did_you_mean(str(direction), _SIGNS))
    return np.array([_SIGNS[direction] for direction in directions])


def _sweep(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the front of distinct rows in lexicographic order with at most three columns, lower is better.

    Only earlier rows can beat a row, and of those just the second and third columns count. What they beat is the
    area above a falling staircase, kept as its corners: `seconds` rise while `thirds` fall.
    """
    front = np.zeros(len(costs), dtype=np.bool_)
    padded = np.zeros((len(costs), 3))
    padded[:, : costs.shape[1]] = costs
    seconds: list[float] = []
    thirds: list[float] = []
    for index, (second, third) in enumerate(padded[:, 1:].tolist()):
        place = bisect_right(seconds, second)
        if place and thirds[place - 1] <= third:
            continue
        front[index] = True
        start = place - 1 if place and seconds[place - 1] == second else place
        stop = place
        while stop < len(thirds) and thirds[stop] >= third:
            stop += 1
        seconds[start:stop] = [second]
        thirds[start:stop] = [third]
    return front


def _cull(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the front of distinct rows in lexicographic order, lower is better: drop all that each front row beats."""
    front = np.zeros(len(costs), dtype=np.bool_)
    left = np.arange(len(costs))
    while len(left):
        first, left = left[0], left[1:]
        front[first] = True
        left = left[(costs[left] < costs[first]).any(axis=1)]
    return front


def objective_costs(frame: pd.DataFrame, objectives: Mapping[str, str]) -> NDArray[np.float64]:
    """Return a table's objectives such that lower is better in each: those to maximise change their sign.

    Args:
        frame: One row per candidate.
        objectives: Column to "max" or "min", at least one.

    Returns:
        Shape (N, M), in the order of rows and objectives; NaN where a value is missing.

    Raises:
        InvalidInputError: If a column is missing or holds no numbers, or a direction is unknown.
    """
    if not objectives:
        raise invalid("objectives", "one or more columns", objectives, 'Give for example {"accuracy": "max"}.')
    for column in objectives:
        if column not in frame.columns:
            raise invalid("objective column", "in the table", column, did_you_mean(column, map(str, frame.columns)))
        if not pd.api.types.is_numeric_dtype(frame[column].dtype):
            raise invalid("objective column", "one of numbers", column, f"It holds {frame[column].dtype}.")
    return frame[list(objectives)].to_numpy(dtype=np.float64, na_value=np.nan) * signs(list(objectives.values()))


def pareto_front(frame: pd.DataFrame, objectives: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of a table that are on the Pareto front, best first by the first objective.

    Args:
        frame: One row per candidate; rows with a missing objective are left out.
        objectives: Column to "max" or "min".

    Raises:
        InvalidInputError: If a column is missing or holds no numbers, or a direction is unknown.
    """
    front = frame[pareto_mask(objective_costs(frame, objectives), ["min"] * len(objectives))]
    first, direction = next(iter(objectives.items()))
    return front.sort_values(first, ascending=_SIGNS[direction] > 0, kind="stable")
