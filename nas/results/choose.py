"""Choosing from a table of candidates: what meets limits, and where a front bends."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.errors import did_you_mean, invalid
from nas.optimization.pareto import objective_costs, pareto_front


def within(frame: pd.DataFrame, /, **limits: float) -> pd.DataFrame:
    """Return the rows that are at most as large as each limit, for example `within(df, step_time_s=0.02)`.

    Args:
        frame: Any table. A row without a value in a limited column is left out.
        limits: Column to the largest value that is allowed, in the column's unit.

    Raises:
        InvalidInputError: If a column is missing or holds no numbers, or a limit is no number.
    """
    kept = np.ones(len(frame), dtype=np.bool_)
    for column, limit in limits.items():
        if column not in frame.columns:
            raise invalid("limited column", "in the table", column, did_you_mean(column, map(str, frame.columns)))
        if not pd.api.types.is_numeric_dtype(frame[column].dtype):
            raise invalid("limited column", "one of numbers", column, f"It holds {frame[column].dtype}.")
        if isinstance(limit, bool) or not isinstance(limit, int | float | np.number) or np.isnan(limit):
            raise invalid(f"limit of {column}", "a number", limit, "Give the largest value that is allowed.")
        kept &= frame[column].to_numpy(dtype=np.float64, na_value=np.nan) <= limit
    return frame[kept]


def knee(frame: pd.DataFrame, objectives: Mapping[str, str]) -> "pd.Series[Any]":
    """Return the row of the front that is nearest to having the best of everything.

    Each objective is scaled such that the best value on the front is 0 and the worst on it is 1. The knee is the row
    with the least Euclidean distance to 0 in all of them, a point that no candidate reaches (the compromise solution
    of Yu 1973 and Zeleny 1973). It depends on where the front ends: narrow a table by `within` first. Of equally near
    rows it is the one that is best in the first objective.

    Args:
        frame: One row per candidate; rows with a missing or infinite objective are left out.
        objectives: Column to "max" or "min".

    Raises:
        InvalidInputError: If no row has all objectives, or as `pareto_front`.
    """
    finite: NDArray[np.bool_] = np.all(np.isfinite(objective_costs(frame, objectives)), axis=1)
    front = pareto_front(frame[finite], objectives)
    if front.empty:
        raise invalid("table", "one with a row that has all objectives", f"{len(frame)} rows", "None can be chosen.")
    costs = objective_costs(front, objectives)
    ranges = np.ptp(costs, axis=0)
    scaled = (costs - costs.min(axis=0)) / np.where(ranges > 0, ranges, 1.0)
    return front.iloc[int(np.square(scaled).sum(axis=1).argmin())]
