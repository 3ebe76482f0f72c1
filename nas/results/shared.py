"""A study that several drivers share: begun by one of them, joined by the others."""

import time
import warnings
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.storages import BaseStorage

from nas.optimization.objectives import Objective
from nas.results.manifest import Manifest

_MANIFEST = "manifest"
_PATIENCE_S = 30.0
"""Seconds to wait for the driver that made a study to say what it is made from."""


def shared_manifest(storage: BaseStorage, name: str) -> Manifest | None:
    """Return what a shared study is made from, or None if there is no such study or nobody has said so yet.

    Raises:
        InvalidInputError: If what is there cannot be read.
    """
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return None
    plain: dict[str, Any] | None = storage.get_study_user_attrs(study_id).get(_MANIFEST)
    return None if plain is None else Manifest.from_dict(plain)


def begin_or_join(storage: BaseStorage, name: str, objective: Objective, manifest: Manifest) -> optuna.Study:
    """Return a shared study for writing, a new one if there is none.

    Raises:
        InvalidInputError: If there is one that is made from something else than `manifest` says.
    """
    try:
        study = optuna.create_study(study_name=name, storage=storage, directions=objective.directions)
    except DuplicatedStudyError:  # Of drivers that begin at the same time, one makes it.
        study = optuna.load_study(study_name=name, storage=storage)
        deadline = time.monotonic() + _PATIENCE_S
        while (theirs := shared_manifest(storage, name)) is None and time.monotonic() < deadline:
            time.sleep(0.2)
        if theirs is not None:
            theirs.check_compatible(manifest)
            return study
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(objective.metrics))
    study.set_user_attr(_MANIFEST, manifest.to_dict())
    return study
