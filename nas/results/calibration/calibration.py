"""`Calibration`: the trainings of a folder, the table that follows from them, and the verdict."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nas.results.calibration.evaluations import Evaluation
from nas.results.calibration.folder import CalibrationFolder
from nas.results.calibration.manifest import CalibrationManifest
from nas.results.calibration.table import calibration_table
from nas.results.calibration.verdict import Verdict, judge
from nas.results.records import records

KIND = "nas.calibration-result/1"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration as far as it got.

    Attributes:
        folder: Where its files lie.
        manifest: What it was made from and with.
        evaluations: The trainings, failed ones too.
        table: A row for each fidelity and baseline; `nas.results.calibration.table` says which columns.
        verdict: What follows.
        min_tau: From which a fidelity is recommended.
    """

    folder: CalibrationFolder
    manifest: CalibrationManifest
    evaluations: Sequence[Evaluation]
    table: pd.DataFrame
    verdict: Verdict
    min_tau: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: what calibration.json holds."""
        rows = {kind: records(self.table[self.table["kind"] == kind]) for kind in ("proxy", "long", "baseline")}
        chosen = next((row for row in rows["proxy"] if row["name"] == self.verdict.fidelity), None)
        return {
            "kind": KIND,
            "recommendation": chosen,
            "verdict": self.verdict.words,
            "min_tau": self.min_tau,
            "num_trainings": sum(evaluation.accuracy is not None for evaluation in self.evaluations),
            "num_failed": sum(evaluation.accuracy is None for evaluation in self.evaluations),
            "fidelities": rows["proxy"],
            "long": rows["long"][0],
            "baselines": rows["baseline"],
        }


def load_calibration(path: str | os.PathLike[str], min_tau: float) -> Calibration:
    """Read a calibration's trainings, also while more are under way, and judge them.

    Raises:
        InvalidInputError: If the path is no calibration, or a file of it cannot be read.
    """
    folder = CalibrationFolder.open(path)
    manifest, evaluations = folder.manifest, folder.evaluations()
    table = calibration_table(evaluations, manifest)
    return Calibration(folder, manifest, evaluations, table, judge(table, min_tau), min_tau)
