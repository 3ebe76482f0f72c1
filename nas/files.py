"""Files that are whole at every moment, and disks that are full."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import DiskError

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})


def replace_file(path: Path, content: bytes | str) -> None:
    """Write a file in one step, so that a reader, or a kill, never finds half of it; text is written as UTF-8."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)  # On a full disk even half a file is too much.
        raise


@contextmanager
def disk_errors(folder: Path, todo: str) -> Iterator[None]:
    """Turn errors of a disk that is full or fails into a `DiskError`; other errors of the system stay what they are.

    Args:
        folder: What is written to inside.
        todo: A sentence on what to do about it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise DiskError(f"{folder} cannot be written to: {error.strerror}. {todo}") from error
