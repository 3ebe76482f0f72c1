"""Ties: members of a front that the noise of measuring does not set apart from being dominated."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.optimization.objectives import PARETO, STEP_TIME_EXPONENT, Objective

NUM_STDERRS = 2.0
"""How many standard errors of a difference count as noise."""


def mark_ties(front: pd.DataFrame, trials: pd.DataFrame, objective: Objective = PARETO) -> pd.DataFrame:
    """Return a front with two columns more.

    `is_tied`: whether the candidate may be dominated, for all that was measured. It may if a measured candidate of
    another network

    - has no more parameters, which are counted and have no noise,
    - is not clearly less accurate: not by more than two standard errors of the difference of both accuracies,
    - is not clearly slower: the intervals of both relative step times overlap, or its is the lower one.

    `ties_with_best`: whether its reward is not clearly below the front's best: not by more than two standard errors of
    the difference, from accuracy and relative step time. It holds for the best itself.

    Standard errors of accuracy are those of validation images and seed together, as far as the seed's was measured. The
    interval of a relative step time is its 95% bootstrap interval; in runs from before there were any, the median plus
    and minus half its interquartile range over blocks; where it is predicted, plus and minus two standard errors of the
    prediction.

    A front of other objectives is judged by those: multiply-adds are counted as parameters are, and where accuracy
    tells the best, ties with it are those of accuracy.

    That all candidates see the same validation images makes the noise of a difference smaller than assumed here, so a
    member that is not tied stands out. One that is tied may still be the better one: measure both with more training.

    Args:
        front: Rows of `trials`, such as `Run.pareto`.
        trials: All candidates; failed ones are passed over.
        objective: Whose front it is.
    """
    ties_with_best = _ties_with_best(front) if objective.best_by == "reward" else _ties_in_accuracy(front)
    marks = {"is_tied": _may_be_dominated(front, trials, objective), "ties_with_best": ties_with_best}
    return front.assign(**{name: pd.array(mark, dtype="boolean") for name, mark in marks.items()})


def tie_words(front: pd.DataFrame) -> list[str]:
    """Return what a marked front, the best first, says about its members, a sentence each."""
    num_tied = int(front["is_tied"].sum())
    count = f"Of the front, {num_tied} of {len(front)} may be dominated, for all that was measured."
    return [*winner_words(front), *([count] if num_tied else [])]


def winner_words(front: pd.DataFrame) -> list[str]:
    """Return what it says about S, the first member."""
    if front.empty:
        return []
    words = []
    ranks = [rank for rank, tied in enumerate(front["ties_with_best"].tolist(), start=1) if tied]
    if len(ranks) > 1:
        words.append(f"Ranks {_ranges(ranks)} are within the noise of the best: S could be any of them.")
    if front["is_tied"].iloc[0]:
        words.append(
            f"S, trial {front['number'].iloc[0]}, may be dominated: another candidate is clearly worse in none of the "
            "objectives."
        )
    return words


def _ranges(ranks: list[int]) -> str:
    """Return increasing numbers as a text such as "1 to 6, 9"."""
    starts = [rank for rank in ranks if rank - 1 not in ranks]
    ends = [rank for rank in ranks if rank + 1 not in ranks]
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True))


def _may_be_dominated(front: pd.DataFrame, trials: pd.DataFrame, objective: Objective) -> list[bool]:
    others = trials[trials["state"].eq("measured").fillna(False)]
    counted = [column for column in objective.front if column.startswith("num_")]
    is_timed = "relative_step_time" in objective.front
    low, _ = _step_time_interval(others)
    accuracy, stderr = (_floats(others, name) for name in ("accuracy", "accuracy_stderr"))
    costs = np.column_stack([_floats(others, name) for name in counted])
    others_id = others["arch_id"].to_numpy(dtype=object)
    mine = zip(
        front["arch_id"].tolist(),
        *(_floats(front, name) for name in ("accuracy", "accuracy_stderr")),
        np.column_stack([_floats(front, name) for name in counted]),
        _step_time_interval(front)[1],
        strict=True,
    )
    ties = []
    for arch_id, my_accuracy, my_stderr, my_costs, my_high in mine:
        noise = NUM_STDERRS * np.hypot(stderr, my_stderr)
        may_dominate = (costs <= my_costs).all(axis=1) & (accuracy + noise >= my_accuracy)
        if is_timed:
            may_dominate &= low <= my_high
        ties.append(bool((may_dominate & (others_id != arch_id)).any()))
    return ties


def _ties_with_best(front: pd.DataFrame) -> list[bool]:
    if front.empty:
        return []
    reward, accuracy, step_time = (_floats(front, name) for name in ("reward", "accuracy", "relative_step_time"))
    low, high = _step_time_interval(front)
    # The reward is a product of powers: relative errors add, each times its exponent.
    of_accuracy = _share(_floats(front, "accuracy_stderr"), accuracy)
    of_step_time = STEP_TIME_EXPONENT * _share((high - low) / (2 * NUM_STDERRS), step_time)
    stderr = reward * np.hypot(of_accuracy, of_step_time)
    best = int(reward.argmax())
    tied: list[bool] = (reward + NUM_STDERRS * np.hypot(stderr, stderr[best]) >= reward[best]).tolist()
    return tied


def _ties_in_accuracy(front: pd.DataFrame) -> list[bool]:
    if front.empty:
        return []
    accuracy, stderr = _floats(front, "accuracy"), _floats(front, "accuracy_stderr")
    best = int(accuracy.argmax())
    tied: list[bool] = (accuracy + NUM_STDERRS * np.hypot(stderr, stderr[best]) >= accuracy[best]).tolist()
    return tied


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return part / whole, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _step_time_interval(frame: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper ends of the relative step times' intervals."""
    value = _floats(frame, "relative_step_time")
    error = NUM_STDERRS * _floats(frame, "timing_error_fraction") * value
    half = np.where(np.isnan(error), _floats(frame, "relative_step_time_spread") / 2, error)
    low, high = _floats(frame, "relative_step_time_low"), _floats(frame, "relative_step_time_high")
    return np.where(np.isnan(low), value - half, low), np.where(np.isnan(high), value + half, high)


def _floats(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
