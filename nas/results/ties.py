"""Ties: members of a front that the noise of measuring does not set apart from being dominated."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NUM_STDERRS = 2.0
"""How many standard errors of a difference count as noise."""


def mark_ties(front: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return a front with a column `is_tied`: whether the candidate may be dominated, for all that was measured.

    A member is tied if a measured candidate of another network

    - has no more parameters, which are counted and have no noise,
    - is not clearly less accurate: not by more than two standard errors of the difference of both accuracies,
    - is not clearly slower: the intervals of both relative step times overlap, or its is the lower one.

    The interval of a relative step time is its 95% bootstrap interval; in runs from before there were any, the median
    plus and minus half its interquartile range over blocks; where it is predicted, plus and minus two standard errors
    of the prediction.

    That all candidates see the same validation images makes the noise of a difference smaller than assumed here, so a
    member that is not tied stands out. One that is tied may still be the better one: measure both with more training.

    Args:
        front: Rows of `trials`, such as `Run.pareto`.
        trials: All candidates; failed ones are passed over.
    """
    others = trials[trials["state"].eq("measured").fillna(False)]
    low, _ = _step_time_interval(others)
    accuracy, stderr, num_params = (_floats(others, name) for name in ("accuracy", "accuracy_stderr", "num_params"))
    others_id = others["arch_id"].to_numpy(dtype=object)
    mine = zip(
        front["arch_id"].tolist(),
        *(_floats(front, name) for name in ("accuracy", "accuracy_stderr", "num_params")),
        _step_time_interval(front)[1],
        strict=True,
    )
    ties = []
    for arch_id, my_accuracy, my_stderr, my_params, my_high in mine:
        noise = NUM_STDERRS * np.hypot(stderr, my_stderr)
        may_dominate = (num_params <= my_params) & (accuracy + noise >= my_accuracy) & (low <= my_high)
        ties.append(bool((may_dominate & (others_id != arch_id)).any()))
    return front.assign(is_tied=pd.array(ties, dtype="boolean"))


def _step_time_interval(frame: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper ends of the relative step times' intervals."""
    value = _floats(frame, "relative_step_time")
    error = NUM_STDERRS * _floats(frame, "timing_error_fraction") * value
    half = np.where(np.isnan(error), _floats(frame, "relative_step_time_spread") / 2, error)
    low, high = _floats(frame, "relative_step_time_low"), _floats(frame, "relative_step_time_high")
    return np.where(np.isnan(low), value - half, low), np.where(np.isnan(high), value + half, high)


def _floats(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
