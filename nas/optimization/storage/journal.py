"""Journals: one file, a record a line, that many processes may write."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from optuna.exceptions import OptunaError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from nas.errors import invalid

_LOCK_GRACE_S = 5
"""Seconds after which the lock of a writer that was killed is taken from it."""

DAMAGED = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RecursionError),
    OptunaError,
)
"""What records that no search writes make their readers raise."""

_logger = logging.getLogger(__name__)


class JournalFile(JournalFileBackend):
    """Optuna's journal file, which also bears a writer that was cut off in the middle of a record.

    The next writer would write behind what is left of it, and nobody could read the journal any more. Here the next
    writer cuts it off first: nobody was told that it was written.

    Args:
        path: Of the file.
        is_shared: Whether other machines write it too. A record is then on the disk when it was written. Otherwise
            only the end of a trial is, with all before it; the rest outlives the process but perhaps not a power cut,
            after which the search goes on from the last end.
    """

    def __init__(self, path: str, *, is_shared: bool = False) -> None:
        self._is_shared = is_shared
        self._file_lock = JournalFileSymlinkLock(path, grace_period=_LOCK_GRACE_S)
        super().__init__(path, self._file_lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        records = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._file_lock.acquire()
        try:
            with open(self._file_path, "r+b") as file:  # noqa: PTH123 - Optuna keeps the path as text
                _cut_torn_end(file.fileno())
                file.seek(0, os.SEEK_END)
                file.write(records)
                file.flush()
                if self._is_shared or any("trial_id" in log and "datetime_complete" in log for log in logs):
                    os.fsync(file.fileno())
        finally:
            self._file_lock.release()

    def repair(self) -> None:
        """Mend the end of the journal (see `repair_journal`) while no other process writes."""
        self._file_lock.acquire()
        try:
            repair_journal(Path(self._file_path))
        finally:
            self._file_lock.release()


def open_journal(path: Path, *, is_shared: bool = False) -> JournalStorage:
    """Open a journal (see `JournalFile`).

    Raises:
        InvalidInputError: If it is damaged, or cannot be read.
    """
    try:
        return JournalStorage(JournalFile(str(path), is_shared=is_shared))
    except DAMAGED as error:
        raise invalid("journal", "whole", str(path), f"A line of it cannot be read: {error}.") from error
    except OSError as error:
        raise invalid("journal", "readable", str(path), f"{error.strerror or error}.") from error


def _cut_torn_end(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    keep, block = size, 4096
    while keep > 0:
        start = max(0, keep - block)
        line_end = os.pread(descriptor, keep - start, start).rfind(b"\n")
        if line_end >= 0:
            keep = start + line_end + 1
            break
        keep = start
    os.ftruncate(descriptor, keep)


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
    except (ValueError, TypeError, RecursionError):
        return False
