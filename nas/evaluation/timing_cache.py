"""`TimingCache`: timings kept in a file that several processes append to, a line of JSON each."""

import json
import logging
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import invalid

_logger = logging.getLogger(__name__)


class TimingCache:
    """Timings by everything that they depend on; a key that differs in anything finds nothing.

    A line is written in one piece, at the file's end, with a checksum. A line that is torn or changed is passed over:
    what cannot be read is measured again.

    Args:
        path: The file; it need not be there.

    Raises:
        InvalidInputError: If the path is a folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise invalid("timings", "a file", str(path), "Name a file, there or not, such as timings.jsonl.")
        self._found: dict[str, dict[str, Any]] = {}
        self._offset = 0

    def get(self, key: Mapping[str, object]) -> dict[str, Any] | None:
        """Return the last timing kept under a key, also by another process; None if there is none."""
        self._read_on()
        return self._found.get(_canonical(key))

    def put(self, key: Mapping[str, object], timing: Mapping[str, Any]) -> None:
        """Keep a timing. If that cannot be written it is logged: the timing itself is worth more than its copy."""
        content = _canonical({"key": dict(key), "timing": dict(timing)})
        line = f'{{"check":"{_checksum(content)}",{content[1:]}\n'.encode()
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                size = os.fstat(file).st_size
                # A line that a killed process has torn must not swallow this one.
                torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
                os.write(file, b"\n" + line if torn else line)
            finally:
                os.close(file)
        except OSError as error:
            _logger.warning("Timings cannot be kept in %s: %s.", self.path, error.strerror or error)

    def _read_on(self) -> None:
        """Take in the whole lines that were appended since the last time."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:  # The file is another one.
                    self._found.clear()
                    self._offset = 0
                file.seek(self._offset)
                lines, line_end, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            _logger.warning("Timings in %s cannot be read: %s.", self.path, error.strerror or error)
            return
        self._offset += len(lines) + len(line_end)
        for line in lines.split(b"\n"):
            entry = _parse(line)
            if entry is not None:
                self._found[_canonical(entry["key"])] = entry["timing"]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        if not isinstance(entry, dict):
            return None
        check = entry.pop("check", None)
        whole = check == _checksum(_canonical(entry)) and {"key", "timing"} == set(entry)
    except (ValueError, RecursionError):
        return None
    return entry if whole else None


def _canonical(plain: Mapping[str, object]) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def _checksum(content: str) -> str:
    return f"{zlib.crc32(content.encode()):08x}"
