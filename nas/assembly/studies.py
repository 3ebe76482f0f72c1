"""The study of a search: its own, or one that several drivers share."""

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.storages import BaseStorage

from nas.config import SearchSettings
from nas.errors import invalid
from nas.execution.drivers import Membership
from nas.execution.sharing import Others
from nas.optimization.objectives import Objective
from nas.optimization.storage.opening import open_storage
from nas.results.folder import RunFolder
from nas.results.manifest import Manifest
from nas.results.shared import begin_or_join, shared_manifest


def agreed_storage(settings: SearchSettings, folder: RunFolder, manifest: Manifest) -> BaseStorage | None:
    """Check that a run that is resumed, and a study that is joined, are made from what is to be searched.

    Returns:
        The storage that is shared, if one is.
    """
    if settings.resume is not None:
        folder.manifest.check_compatible(manifest)
    if settings.storage is None:
        return None
    if settings.study is None:
        raise invalid("study", "given with a storage", None, "Name it, so that other drivers can join it.")
    storage = open_storage(settings.storage, settings.storage_timeout)
    theirs = shared_manifest(storage, settings.study)
    if theirs is not None:
        theirs.check_compatible(manifest)
    return storage


@contextmanager
def open_study(
    settings: SearchSettings, folder: RunFolder, storage: BaseStorage | None, objective: Objective, manifest: Manifest
) -> Iterator[tuple[optuna.Study, Others | None]]:
    """Open the run's study: its own, or one that is shared, as one of its drivers."""
    if storage is None or settings.study is None:
        yield folder.study(objective), None
        return
    study = begin_or_join(storage, settings.study, objective, manifest)
    with Membership(study, settings.driver_timeout) as membership:
        membership.replaces(folder.replaced_driver(membership.identity))
        yield study, Others(study, objective, membership)
