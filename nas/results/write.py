"""Write the tables of a run. All of them are rebuilt from the journal; each file is replaced in one step."""

import re

import optuna
import pandas as pd

from nas.files import replace_file
from nas.results.folder import RunFolder
from nas.results.manifest import Manifest
from nas.results.run import Run
from nas.results.tables import family_markdown, family_members
from nas.results.ties import winner_words

_FREE_TEXT = ("fail_reason", "origin")
_FORMULA = re.compile(r"^\s*[=+\-@]")


def write_tables(folder: RunFolder, study: optuna.Study, manifest: Manifest) -> Run:
    """Write trials.csv, pareto.csv, rungs.csv where there were any, and, once a candidate was measured, S.json, M.json,
    L.json and family.md.

    Returns:
        The run that the files show.
    """
    run = Run(folder, manifest, study)
    replace_file(folder.trials_path, to_csv(run.trials))
    replace_file(folder.pareto_path, to_csv(run.pareto))
    if not run.rungs.empty:
        replace_file(folder.rungs_path, run.rungs.to_csv(index=False, lineterminator="\n"))
    if not run.pareto.empty:
        family = run.family()
        for size, spec in family.items():
            spec.save(folder.arch_path(size))
        members = family_members(family, num_classes=manifest.num_classes, in_channels=manifest.in_channels)
        title = f"Family found in {manifest.space} on {manifest.data}"
        notes = ["S has the best reward; M and L are scaled from it and were not measured.", *winner_words(run.pareto)]
        replace_file(folder.family_path, family_markdown(members, title=title, notes=notes))
    return run


def to_csv(frame: pd.DataFrame) -> str:
    """Return a table as CSV. Texts that a spreadsheet would take for a formula get an apostrophe in front."""
    safe = frame.copy()
    for column in _FREE_TEXT:
        safe[column] = frame[column].map(lambda text: f"'{text}" if _FORMULA.match(text) else text, na_action="ignore")
    return safe.to_csv(index=False, lineterminator="\n")
