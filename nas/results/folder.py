"""`RunFolder`: where the files of a run lie, and what keeps them whole.

The journal is the truth; everything else but the manifest can be rebuilt from it.
"""

import fcntl
import os
import platform
import shutil
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import filelock
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage

from nas.errors import invalid
from nas.files import replace_file
from nas.optimization.objectives import Objective
from nas.optimization.storage.address import complete
from nas.optimization.storage.journal import open_journal, repair_journal
from nas.results.damage import whole
from nas.results.manifest import Manifest

STUDY_NAME = "search"
_PATIENCE_S = 30.0
RUN_LOCK = ".lock"
_LOOK_S = 0.2
"""Longer than `is_locked` may get into the way of `lock`."""


class RunFolder:
    """A folder that holds a run, or is about to.

    Make one with `create` or `open`.
    """

    def __init__(self, path: Path) -> None:
        # Optuna's lock is a symbolic link to the journal; with a relative path it dangles and can never go stale.
        self.path = path.resolve()

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """Make a new folder, or take an empty one. It is a run once its manifest is written.

        Raises:
            InvalidInputError: If the path is a run, a folder that holds something else, or no folder.
        """
        folder = cls.unused(path)
        folder.make()
        return folder

    @classmethod
    def unused(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """Take a path where `make` may make a folder for a new run; nothing is written.

        Raises:
            InvalidInputError: As `create`.
        """
        folder = cls(Path(path))
        if folder.manifest_path.exists():
            raise invalid("run folder", "new", str(path), f"It holds a run: go on with it by --resume {path}.")
        check_unused(folder.path, "run folder", passed_over=(RUN_LOCK,))
        return folder

    def make(self) -> None:
        """Make the folder if it is not there; raise InvalidInputError where that cannot be done."""
        make_folder(self.path, "run folder")

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """Take a folder that holds a run.

        Raises:
            InvalidInputError: If it does not.
        """
        folder = cls(Path(path))
        if not folder.path.is_dir():
            raise invalid("run", "a folder", str(path), "Give the folder of a run, for example results/NAME.")
        if not folder.manifest_path.is_file():
            raise invalid("run", "a folder with a manifest.json", str(path), "The folder holds no run.")
        folder.manifest  # noqa: B018 - checks that it can be read
        return folder

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    @property
    def journal_path(self) -> Path:
        return self.path / "journal.log"

    @property
    def trials_path(self) -> Path:
        return self.path / "trials.csv"

    @property
    def pareto_path(self) -> Path:
        return self.path / "pareto.csv"

    @property
    def rungs_path(self) -> Path:
        return self.path / "rungs.csv"

    @property
    def replay_path(self) -> Path:
        return self.path / "replay.csv"

    @property
    def timings_path(self) -> Path:
        return self.path / "timings.jsonl"

    @property
    def checkpoints_path(self) -> Path:
        """Of the folder of trainings that are under way, or were when the search was stopped."""
        return self.path / "checkpoints"

    @property
    def family_path(self) -> Path:
        return self.path / "family.md"

    def arch_path(self, size: str) -> Path:
        """Return the path of a family member's table, for example that of "S"."""
        return self.path / f"{size}.json"

    @property
    def manifest(self) -> Manifest:
        return Manifest.load(self.manifest_path)

    def remove_checkpoints(self) -> None:
        """Remove what is left of trainings; nothing is under way any more."""
        shutil.rmtree(self.checkpoints_path, ignore_errors=True)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest, which makes the folder a run."""
        replace_file(self.manifest_path, manifest.to_json())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from working on the run. The system releases the lock when the process dies.

        Raises:
            InvalidInputError: If another process has the lock.
        """
        with locked(self.path, "run"):
            yield

    def is_locked(self) -> bool:
        """Return whether a process has the lock. Nothing is written."""
        return is_locked(self.path)

    def storage(self) -> JournalStorage:
        """Open the journal for writing, after repairing a torn end. Hold `lock` while using it.

        Raises:
            InvalidInputError: If the journal is damaged elsewhere.
        """
        repair_journal(self.journal_path)
        return open_journal(self.journal_path)

    def study(self, objective: Objective) -> optuna.Study:
        """Return the run's study for writing, a new one if there is none. Hold `lock` while using it.

        Raises:
            InvalidInputError: If the study in the journal has other objectives, or the journal is damaged.
        """
        with whole(self.path):
            return self._study(objective)

    def _study(self, objective: Objective) -> optuna.Study:
        storage = self.storage()
        try:
            study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
        except KeyError:
            study = optuna.create_study(study_name=STUDY_NAME, storage=storage, directions=objective.directions)
        directions = tuple(direction.name.lower() for direction in study.directions)
        metrics = tuple(study.metric_names or objective.metrics)
        if (directions, metrics) != (objective.directions, objective.metrics):
            raise invalid("objective", f"the run's ({', '.join(metrics)})", objective.name, "Resume with the same.")
        if study.metric_names is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names(list(objective.metrics))
        return study

    def replaced_driver(self, identity: str) -> str | None:
        """Note which of several drivers of a study works in this folder; return which one did before."""
        path = self.path / "driver"
        before = path.read_text(encoding="utf-8").strip() if path.is_file() else None
        replace_file(path, f"{identity}\n")
        return before

    def read_study(self) -> optuna.Study:
        """Return the run's study for reading. It may be read while a search writes it; nothing is changed.

        A study that several drivers share is read from its storage, which must be within reach; its address is that
        in the manifest, or in NAS_STORAGE where that has a password.

        Raises:
            InvalidInputError: If there is no journal, no study in it, it is damaged, or a storage cannot be read.
        """
        settings = self.manifest.settings
        if settings.get("storage") is not None:
            return _read_shared(settings["storage"], settings["study"])
        if not self.journal_path.is_file():
            raise invalid("journal", "there", str(self.journal_path), "The search had not begun: use --resume.")
        try:
            return optuna.load_study(study_name=STUDY_NAME, storage=open_journal(self.journal_path))
        except KeyError as error:
            raise invalid(
                "journal", "one of a search", str(self.journal_path), "The search had not begun: use --resume."
            ) from error


def _read_shared(url: str, name: str) -> optuna.Study:
    # SQLAlchemy takes its time to import.
    from nas.optimization.storage.opening import open_storage

    try:
        return optuna.load_study(
            study_name=name, storage=open_storage(complete(url), timeout_s=_PATIENCE_S, read_only=True)
        )
    except KeyError as error:
        raise invalid("study", "in the storage", name, "Is NAS_STORAGE the address of this run's?") from error


@contextmanager
def locked(path: Path, name: str) -> Iterator[None]:
    """Keep other processes from working in a folder, which is there; the system releases the lock of one that dies.

    Raises:
        InvalidInputError: If another process has the lock; `name` is what the user calls the folder.
    """
    lock = filelock.FileLock(path / RUN_LOCK)
    try:
        lock.acquire(timeout=_LOOK_S)
    except filelock.Timeout as error:
        raise invalid(name, "free", str(path), "Another process works on it: wait or stop that.") from error
    except PermissionError as error:
        raise invalid(name, "a folder that you may write to", str(path), "Work on a copy of it.") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Return whether a process has a folder's lock. Nothing is written."""
    try:
        with (path / RUN_LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # Held; or a file system without flock, where the file is there only while it is held.
        return True
    return False


def check_unused(path: Path, name: str, passed_over: Collection[str] = ()) -> None:
    """Raise InvalidInputError unless a folder can be made at `path`, or is there and empty; nothing is written.

    Args:
        path: Of the folder.
        name: What the user calls it.
        passed_over: Names of files that may be there.
    """
    if path.exists():
        if not path.is_dir():
            raise invalid(name, "a folder", str(path), "Choose another path.")
        if any(entry.name not in passed_over for entry in path.iterdir()):
            raise invalid(name, "new or empty", str(path), "It holds files: choose another.")
        return
    parent = next(each for each in path.resolve().parents if each.exists())
    if not parent.is_dir():
        raise invalid(name, "a folder", str(path), f"{parent} is a file: choose another path.")
    if not os.access(parent, os.W_OK):
        raise invalid(name, "a place to write", str(path), f"{parent} cannot be written to: choose another path.")


def check_new_file(path: Path) -> None:
    """Raise InvalidInputError unless a file that the user calls out can be made at `path`; nothing is written."""
    if path.exists() or path.is_symlink():
        raise invalid("out", "a new file", str(path), "It is there already: choose another path, or remove it.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise invalid("out", "in a folder that can be written to", str(path), "Make the folder, or choose another.")


def make_folder(path: Path, name: str) -> None:
    """Make a folder if it is not there; raise InvalidInputError where that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise invalid(name, "a place to write", str(path), f"{error.strerror or error}.") from error


def default_run_name(what: str, data: str) -> str:
    """Return a name for a run folder that sorts by time, such as "20260131-235959-efficientnet_v2-cifar10".

    Args:
        what: Name of what is searched or trained; of "package.module:attribute" the attribute.
        data: Name or path of the data set.
    """
    words = [
        datetime.now(UTC).strftime("%Y%m%d-%H%M%S"),
        _slug(what.partition(":")[2] or what),
        _slug(Path(data).name),
    ]
    return "-".join(word for word in words if word)


def default_driver_name(study: str) -> str:
    """Return a name for the run folder of one of several drivers of a study, on whichever machine."""
    return "-".join((_slug(study), _slug(platform.node()), str(os.getpid())))


def _slug(text: str) -> str:
    return "".join(char if char.isascii() and (char.isalnum() or char == "_") else "-" for char in text)[:40].strip("-")
