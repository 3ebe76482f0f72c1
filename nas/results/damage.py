"""Runs that were damaged or edited, so that what is in them is not what a search wrote."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import InvalidInputError, invalid
from nas.optimization.storage.journal import DAMAGED

_MAX_REASON = 200


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """Turn what records that no search writes make their readers raise into an InvalidInputError.

    Args:
        folder: Of the run that is read inside.
    """
    try:
        yield
    except InvalidInputError:
        raise
    except DAMAGED as error:
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        todo = f"It was damaged or edited, restore it from a copy: {reason}."
        raise invalid("run", "as a search wrote it", str(folder), todo) from error
