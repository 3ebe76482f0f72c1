"""How well cheap signals rank a run's candidates, always next to the trivial ones."""

import math

import numpy as np
import pandas as pd

from nas.complexity import depth
from nas.evaluation.measurement import SIGNAL_NAMES
from nas.results.ranking import kendall_tau
from nas.results.run import Run

SIGNAL_DTYPES = {"signal": "string", "is_trivial": "bool", "num_candidates": "int64", "tau": "float64"}
SIGNAL_DTYPES |= {"tau_by_chance": "float64"}

TRIVIAL = ("num_params", "num_macs", "depth", "relative_step_time")
"""What is known of a candidate without any score."""


def rank_signals(run: Run) -> pd.DataFrame:
    """Return how well each signal ranks the measured candidates as their accuracy does, the best first.

    Columns:

    - `signal`: a training-free score that the search recorded (`--signals`), or one of num_params, num_macs, depth
      (convolutions one behind the other) and relative_step_time,
    - `is_trivial`: whether it is one of the latter,
    - `num_candidates`: measured candidates that have it,
    - `tau`: Kendall's tau-b with accuracy, -1 to 1: 1 is the same order, 0 none, below 0 the reverse,
    - `tau_by_chance`: standard deviation that tau would have if the signal had nothing to do with accuracy.

    Signals that nobody recorded, or that are the same for all, have no row. Tau is that of this run's candidates: a
    sampler that keeps to good ones leaves less to be ranked, so that it is lower than in the space as a whole.
    """
    rows = run.trials[run.trials["state"] == "measured"]
    rows = rows.assign(depth=[depth(run.spec(int(number))) for number in rows["number"]])
    columns = {name: f"signal_{name}" for name in SIGNAL_NAMES} | {name: name for name in TRIVIAL}
    found = []
    for name, column in columns.items():
        known = rows[rows[column].notna()]
        if known[column].nunique() < 2 or known["accuracy"].nunique() < 2:
            continue
        count = len(known)
        tau = kendall_tau(*(known[name].to_numpy(dtype=np.float64) for name in (column, "accuracy")))
        by_chance = math.sqrt(2 * (2 * count + 5) / (9 * count * (count - 1)))  # Kendall 1938, without ties
        found.append((name, name in TRIVIAL, count, tau, by_chance))
    table = pd.DataFrame(found, columns=list(SIGNAL_DTYPES)).astype(SIGNAL_DTYPES)
    return table.sort_values("tau", ascending=False, kind="stable", ignore_index=True)
