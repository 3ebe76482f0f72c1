"""How candidates did on their way through training, as a table: one row per candidate and rung."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from nas.evaluation.measurement import Rung
from nas.optimization.trials import ARCH_ID, any_measurement_of

_DTYPES = {"float": "float64", "float | None": "float64", "int": "int64"}
COLUMN_DTYPES = {
    "number": "int64",
    "arch_id": "string",
    "stopped": "bool",
    **{f.name: _DTYPES[f.type.__name__ if isinstance(f.type, type) else str(f.type)] for f in fields(Rung)},
}


def rungs_frame(candidates: Iterable[FrozenTrial]) -> pd.DataFrame:
    """Return the rungs of evaluated candidates, in their order and that of their rungs.

    Columns:

    - `number`, `arch_id`: the candidate's, as in `trials`,
    - `stopped`: whether its training was stopped at this rung,
    - the fields of `nas.evaluation.measurement.Rung` under their names, with their units.

    Candidates without rungs have no row. Data types are the same for an empty table.
    """
    rows: list[dict[str, Any]] = []
    for trial in candidates:
        measurement = any_measurement_of(trial)
        if measurement is None:
            continue
        about = {"number": trial.number, "arch_id": trial.user_attrs[ARCH_ID]}
        for rung, plain in zip(measurement.rungs, measurement.to_dict()["rungs"], strict=True):
            rows.append({**about, "stopped": measurement.stopped and rung is measurement.rungs[-1], **plain})
    return pd.DataFrame({n: pd.Series([row[n] for row in rows], dtype=dtype) for n, dtype in COLUMN_DTYPES.items()})
