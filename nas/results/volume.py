"""Hypervolume: how much of the objectives' space a set of candidates beats, in one number."""

from bisect import bisect_left
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.errors import did_you_mean, invalid
from nas.optimization.pareto import objective_costs, pareto_mask, signs


def hypervolume(frame: pd.DataFrame, objectives: Mapping[str, str], reference_point: Mapping[str, float]) -> float:
    """Return the volume between a reference point and the front of a table; higher is better, 0 is the least.

    It is the volume of all points that are better than the reference point and worse than a row (Zitzler & Thiele
    1998, "size of the space covered"). Its unit is the product of the objectives' units. Volumes compare only where
    they have the same reference point.

    Args:
        frame: One row per candidate. Rows with a missing objective, and rows that are not better than the reference
            point in every objective, add nothing.
        objectives: Column to "max" or "min".
        reference_point: A finite value for each objective, worse than what is to count.

    Returns:
        The exact volume. Up to three objectives cost O(N log N); each further one costs a factor of N.

    Raises:
        InvalidInputError: If a column is missing or holds no numbers, or the reference point does not fit.
    """
    costs = objective_costs(frame, objectives)
    reference = _reference_costs(objectives, reference_point)
    return dominated_volume(costs, reference)


def dominated_volume(costs: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return what `hypervolume` does, of rows whose columns are all better where lower; shapes (N, M) and (M,)."""
    costs = costs[(costs < reference).all(axis=1)]
    if np.isneginf(costs).any():
        return float("inf")
    return _volume(costs, reference)


def _reference_costs(objectives: Mapping[str, str], reference_point: Mapping[str, float]) -> NDArray[np.float64]:
    for name in [*reference_point, *objectives]:
        if name not in objectives or name not in reference_point:
            raise invalid(
                "reference_point", "a value for each objective", dict(reference_point), did_you_mean(name, objectives)
            )
    point = np.array([float(reference_point[name]) for name in objectives])
    if not np.isfinite(point).all():
        raise invalid("reference_point", "finite", dict(reference_point), "Give numbers worse than the candidates'.")
    return point * signs(list(objectives.values()))


def _volume(costs: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume that rows, each below `reference` everywhere, dominate up to it; lower is better."""
    num_objectives = len(reference)
    front = np.unique(costs[pareto_mask(costs, ["min"] * num_objectives)], axis=0)
    if len(front) == 0:
        return 0.0
    if num_objectives == 1:
        return float(reference[0] - front[0, 0])
    if num_objectives == 2:
        widths = np.diff(front[:, 0], append=reference[0])
        return float(widths @ (reference[1] - front[:, 1]))
    if num_objectives == 3:
        return _sweep_volume(front, reference)
    front = front[front[:, -1].argsort(kind="stable")]
    depths = np.diff(front[:, -1], append=reference[-1])
    slices = (_volume(front[: index + 1, :-1], reference[:-1]) for index in np.flatnonzero(depths > 0))
    return float(sum(area * depth for area, depth in zip(slices, depths[depths > 0], strict=True)))


def _sweep_volume(front: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume of distinct rows, sorted by the first column, that do not dominate each other.

    A plane moves along the first column. What is dominated in it is the area above a falling staircase, kept as its
    corners: `seconds` rise while `thirds` fall, between sentinels at the reference.
    """
    seconds, thirds = [-np.inf, reference[1]], [reference[2], -np.inf]
    depths = np.diff(front[:, 0], append=reference[0])
    volume = area = 0.0
    for (second, third), depth in zip(front[:, 1:].tolist(), depths.tolist(), strict=True):
        start = stop = bisect_left(seconds, second)
        left, height = second, thirds[start - 1]
        while thirds[stop] >= third:  # corners that the new one beats
            area += (seconds[stop] - left) * (height - third)
            left, height = seconds[stop], thirds[stop]
            stop += 1
        area += (seconds[stop] - left) * (height - third)
        seconds[start:stop] = [second]
        thirds[start:stop] = [third]
        volume += area * depth
    return volume
