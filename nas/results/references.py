"""Which candidates beat the networks that the search began from."""

import numpy as np
import pandas as pd

from nas.errors import invalid
from nas.optimization.pareto import objective_costs
from nas.optimization.trials import PROPOSED_ORIGINS
from nas.results.run import Run

REFERENCE_DTYPES = {
    "reference": "string",
    "number": "int64",
    "arch_id": "string",
    "accuracy_gain": "float64",
    "accuracy_gain_stderr": "float64",
    "step_time_saving": "float64",
    "num_params_saving": "float64",
}


def dominates_reference(run: Run) -> pd.DataFrame:
    """Return the candidates that dominate a reference network of the space, and by how much.

    A candidate dominates a network if it is at least as good in all of the run's `objectives`, and better in one. Those
    are compared as measured: see `accuracy_gain_stderr` for the noise, and `mark_ties`.

    Returns:
        One row per reference network and candidate that dominates it; per reference network, highest gain first:

        - `reference`: name of the reference network, as in `origin`,
        - `number`, `arch_id`: the candidate's,
        - `accuracy_gain`: its accuracy less the reference network's, 0 or more,
        - `accuracy_gain_stderr`: its standard error from images and seed, as if both were validated on different ones,
        - `step_time_saving`: saved share of its relative step time, at most 1; missing where none was measured,
        - `num_params_saving`: share of its parameters, at most 1.

    Raises:
        InvalidInputError: If no reference network was measured.
    """
    measured = run.trials[run.trials["state"] == "measured"]
    references = measured[~measured["origin"].fillna("sampler").isin(PROPOSED_ORIGINS)]
    if references.empty:
        raise invalid(
            "run",
            "one in which a reference network was measured",
            str(run.folder.path),
            "Search a space with references, and without --no-warm-start.",
        )
    costs = objective_costs(measured, run.objectives)
    found = []
    for row, cost in zip(references.to_dict("records"), objective_costs(references, run.objectives), strict=True):
        better = measured[(costs <= cost).all(axis=1) & (costs < cost).any(axis=1)]
        gains = pd.DataFrame(
            {
                "reference": row["origin"],
                "number": better["number"],
                "arch_id": better["arch_id"],
                "accuracy_gain": better["accuracy"] - row["accuracy"],
                "accuracy_gain_stderr": np.hypot(better["accuracy_stderr"], row["accuracy_stderr"]),
                "step_time_saving": 1 - better["relative_step_time"] / row["relative_step_time"],
                "num_params_saving": 1 - better["num_params"] / row["num_params"],
            }
        )
        found.append(gains.sort_values("accuracy_gain", ascending=False, kind="stable"))
    return pd.concat(found, ignore_index=True).astype(REFERENCE_DTYPES)
