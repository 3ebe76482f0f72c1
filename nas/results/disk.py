"""Disks that are full, or fail, while results are written."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import DiskError

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})


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
