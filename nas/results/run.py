"""`load`: a run folder as an object with tables, the front, the best network and its family."""

import os
from functools import cached_property
from typing import Any

import optuna
import pandas as pd

from nas.errors import invalid
from nas.html import html_table
from nas.optimization.objectives import PARETO, get_objective
from nas.optimization.pareto import pareto_front
from nas.optimization.samplers import num_random_trials
from nas.optimization.trials import candidates, sitting_of, spec_of
from nas.results.architectures import architectures_frame
from nas.results.damage import whole
from nas.results.family import Family
from nas.results.folder import RunFolder
from nas.results.frame import trials_frame
from nas.results.manifest import Manifest
from nas.results.noise import Noise, measure_noise, seed_noise
from nas.results.rungs import rungs_frame
from nas.results.ties import mark_ties
from nas.spec import ArchSpec

PARETO_OBJECTIVES = dict(PARETO.front)
"""What the front is made of unless the search's objective says otherwise."""


class Run:
    """A run as it was when it was loaded. Made by `load`.

    Attributes:
        folder: Where its files lie.
        manifest: What it was made from and with.
        candidates: Optuna's trials behind the rows of `trials`, in the same order.
        trials: One row per evaluated candidate; `nas.results.frame.trials_frame` documents the columns.
        objectives: What the front is made of, column to "max" or "min". They follow from the search's objective:
            accuracy, relative_step_time and num_params unless that is made of others.
        sitting: What the search was last started or resumed for, and whether it ran out of networks; None for runs from
            before that was kept.
        best_by: Column in which the best candidate is the highest, "reward" or "accuracy".
    """

    def __init__(self, folder: RunFolder, manifest: Manifest, study: optuna.Study) -> None:
        self.folder = folder
        self.manifest = manifest
        self.candidates = candidates(study)
        self.trials = trials_frame(study)
        self.sitting = sitting_of(study)
        self._seed_noise = seed_noise(study)
        self._specs = {trial.number: spec_of(trial) for trial in self.candidates}
        objective = get_objective(manifest.objective)
        self.objectives = dict(objective.front)
        self.best_by: str = objective.best_by

    @property
    def budget(self) -> int | None:
        """How many candidates the search is to evaluate; None where neither study nor manifest says."""
        if self.sitting is not None:
            return self.sitting.budget
        found = self.manifest.settings.get("budget")
        return found if isinstance(found, int) else None

    @property
    def is_exhausted(self) -> bool:
        """Whether the search ended because no network of the space was left that was not evaluated."""
        return self.sitting is not None and self.sitting.exhausted

    @property
    def is_finished(self) -> bool:
        """Whether the search has used up its budget, or its space."""
        return self.is_exhausted or (self.budget is not None and len(self.trials) >= self.budget)

    @cached_property
    def pareto(self) -> pd.DataFrame:
        """The measured candidates that none beats in all `objectives` together, the best first; columns as in
        `trials`, and those of `mark_ties`. The best has the highest `best_by`.
        """
        measured = self.trials[self.trials["state"] == "measured"]
        front = pareto_front(measured, self.objectives).sort_values(self.best_by, ascending=False, kind="stable")
        return mark_ties(front, self.trials, get_objective(self.manifest.objective))

    @cached_property
    def noise(self) -> Noise | None:
        """How the spread of candidates compares with their noise; None with fewer than two measured ones."""
        settings = self.manifest.settings
        num_random = num_random_trials(settings.get("sampler", ""), settings.get("budget", 0))
        return measure_noise(self.trials, self._seed_noise, num_random=num_random)

    @cached_property
    def architectures(self) -> pd.DataFrame:
        """One row per stage of every candidate; `nas.results.architectures` documents the columns."""
        return architectures_frame(self.trials, self._specs, self.manifest)

    @cached_property
    def rungs(self) -> pd.DataFrame:
        """One row per rung of every candidate; `nas.results.rungs` documents the columns."""
        return rungs_frame(self.candidates)

    @property
    def best(self) -> "pd.Series[Any]":
        """The row of the front with the highest `best_by`.

        Raises:
            InvalidInputError: If no candidate was measured.
        """
        if self.pareto.empty:
            raise invalid(
                "run", "one with a measured candidate", str(self.folder.path), "Look at fail_reason in its trials."
            )
        return self.pareto.iloc[0]

    def spec(self, number: int) -> ArchSpec:
        """Return the network of a candidate by its `number`; raise InvalidInputError if it has no row in `trials`."""
        if number not in self._specs:
            raise invalid("number", "that of an evaluated candidate", number, "See the column `number` of trials.")
        return self._specs[number]

    def family(self) -> Family:
        """Return "S", the best network, and "M" and "L" scaled from it, by size.

        Raises:
            InvalidInputError: If no candidate was measured.
        """
        from nas.models.scaling import scale_family

        return Family(
            scale_family(self.spec(int(self.best["number"]))),
            num_classes=self.manifest.num_classes,
            in_channels=self.manifest.in_channels,
        )

    @property
    def _counts(self) -> str:
        states = self.trials["state"]
        return (
            f"{(states == 'measured').sum()} measured, {(states == 'stopped').sum()} stopped early, "
            f"{(states == 'failed').sum()} failed, "
            f"{len(self.pareto)} on the front"
        )

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r}: {self._counts})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: counts and the first rows of the front."""
        from nas.results.tables import FRONT_COLUMNS, front_rows

        title = f"{self.folder.path.name}: {self.manifest.space} on {self.manifest.data}, {self._counts}"
        return html_table(title, FRONT_COLUMNS, front_rows(self.pareto.head(10)))


def load(path: str | os.PathLike[str]) -> Run:
    """Load a run from its folder. The journal is read, so a run may be loaded while its search goes on.

    Raises:
        InvalidInputError: If the path is no run, or it was damaged.
    """
    folder = RunFolder.open(path)
    with whole(folder.path):
        return Run(folder, folder.manifest, folder.read_study())
