"""`RunFolder`: where the files of a run lie, and what keeps them whole.

The journal is the truth; everything else but the manifest can be rebuilt from it.
"""

import fcntl
import json
import logging
import os
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
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from nas.errors import invalid
from nas.files import replace_file
from nas.optimization.objectives import Objective
from nas.results.manifest import Manifest

STUDY_NAME = "search"
_LOCK_GRACE_S = 5
_RUN_LOCK = ".lock"
_LOOK_S = 0.2
"""Longer than `is_locked` may get into the way of `lock`."""

_logger = logging.getLogger(__name__)


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
        check_unused(folder.path, "run folder", passed_over=(_RUN_LOCK,))
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
    def timings_path(self) -> Path:
        return self.path / "timings.jsonl"

    @property
    def family_path(self) -> Path:
        return self.path / "family.md"

    def arch_path(self, size: str) -> Path:
        """Return the path of a family member's table, for example that of "S"."""
        return self.path / f"{size}.json"

    @property
    def manifest(self) -> Manifest:
        return Manifest.load(self.manifest_path)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest, which makes the folder a run."""
        replace_file(self.manifest_path, manifest.to_json())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from working on the run. The system releases the lock when the process dies.

        Raises:
            InvalidInputError: If another process has the lock.
        """
        lock = filelock.FileLock(self.path / _RUN_LOCK)
        try:
            lock.acquire(timeout=_LOOK_S)
        except filelock.Timeout as error:
            raise invalid("run", "free", str(self.path), "Another process works on it: wait or stop that.") from error
        try:
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool:
        """Return whether a process has the lock. Nothing is written."""
        try:
            with (self.path / _RUN_LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:  # Held; or a file system without flock, where the file is there only while it is held.
            return True
        return False

    def storage(self) -> JournalStorage:
        """Open the journal for writing, after repairing a torn end. Hold `lock` while using it.

        Raises:
            InvalidInputError: If the journal is damaged elsewhere.
        """
        repair_journal(self.journal_path)
        return self._open_journal()

    def study(self, objective: Objective) -> optuna.Study:
        """Return the run's study for writing, a new one if there is none. Hold `lock` while using it.

        Raises:
            InvalidInputError: If the study in the journal has other objectives, or the journal is damaged.
        """
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

    def read_study(self) -> optuna.Study:
        """Return the run's study for reading. It may be read while a search writes it; nothing is changed.

        Raises:
            InvalidInputError: If there is no journal, no study in it, or it is damaged.
        """
        if not self.journal_path.is_file():
            raise invalid("journal", "there", str(self.journal_path), "The search had not begun: use --resume.")
        try:
            return optuna.load_study(study_name=STUDY_NAME, storage=self._open_journal())
        except KeyError as error:
            raise invalid(
                "journal", "one of a search", str(self.journal_path), "The search had not begun: use --resume."
            ) from error

    def _open_journal(self) -> JournalStorage:
        path = str(self.journal_path)
        try:
            return JournalStorage(JournalFileBackend(path, JournalFileSymlinkLock(path, grace_period=_LOCK_GRACE_S)))
        except (ValueError, KeyError, AssertionError) as error:
            raise invalid("journal", "whole", path, f"A line of it cannot be read: {error}.") from error
        except OSError as error:
            raise invalid("journal", "readable", path, f"{error.strerror or error}.") from error


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


def _slug(text: str) -> str:
    return "".join(char if char.isascii() and (char.isalnum() or char == "_") else "-" for char in text)[:40].strip("-")


def repair_journal(path: Path) -> None:
    """Mend the end of a journal that a full disk or a power cut has torn.

    The next writer would write behind the torn record, and nobody could read the journal any more. A record that only
    lacks its line end is completed; a last line that is no record is cut off. The file as it was is kept beside it.

    Raises:
        InvalidInputError: If more than the last line is damaged. Nothing is changed then.
    """
    found = path.read_bytes() if path.is_file() else b""
    whole = found if found.endswith(b"\n") or not found else found + b"\n"
    if whole and not _ends_with_record(whole):
        whole = whole[: whole.rfind(b"\n", 0, -1) + 1]
        if whole and not _ends_with_record(whole):
            raise invalid("journal", "whole but for its last line", str(path), "Restore it from a copy.")
    if whole == found:
        return
    backup = path.with_name(f"{path.name}.bak")
    shutil.copyfile(path, backup)
    _logger.warning("The end of %s was torn and has been mended; %s is the file as it was.", path, backup.name)
    with path.open("r+b") as file:
        file.truncate(min(len(whole), len(found)))
        file.seek(0, os.SEEK_END)
        file.write(whole[len(found) :])
        file.flush()
        os.fsync(file.fileno())


def _ends_with_record(lines: bytes) -> bool:
    last = lines[lines.rfind(b"\n", 0, -1) + 1 :]
    try:
        return "op_code" in json.loads(last)
    except (ValueError, TypeError):
        return False
