"""Errors that users of the toolkit can meet.

Every message follows one form, "`name` must be <rule>, got <value>. <what to do>", and the command line prints it
as a single line and exits with code 2.
"""

import difflib
import reprlib
from collections.abc import Iterable


class NasError(Exception):
    """Base class of the toolkit's own errors."""


class InvalidInputError(NasError, ValueError):
    """Something the user gave is not usable: a flag, a file, a data set, a table. Nothing has been changed."""


class DivergedError(NasError, ArithmeticError):
    """Training of a candidate ran into numbers that are not finite. A finding about the candidate, not a fault."""


class ClusterError(NasError):
    """A cluster cannot be used as it is, or is not one any more."""


class PeerLostError(NasError):
    """Another process of a training has ended, or cannot be reached."""


class WorkerStartError(NasError):
    """Worker processes end before they can take a job, so that no search is possible."""


class WorkerLostError(NasError):
    """A process that decodes images for a training ended, for example for lack of memory. The training can go on."""


class StorageError(NasError):
    """The storage of a study cannot be reached, and has not been for as long as was to be waited."""


class DiskError(NasError):
    """A file of results cannot be written: the disk is full, or fails. What was written before is whole."""


class DeviceLostError(NasError):
    """An accelerator failed in the process that searches, which can use it no more."""


def invalid(name: str, rule: str, value: object, todo: str) -> InvalidInputError:
    """Build the error for one bad value in the house's form: one line, which any terminal and file can hold.

    Args:
        name: What the value is called where the user wrote it.
        rule: What it must be, as it follows "must be".
        value: What was found; long values are shortened.
        todo: One sentence on what to do about it.
    """
    message = f"`{name}` must be {rule}, got {_shorten(value)}. {todo}"
    return InvalidInputError(" ".join(message.encode(errors="backslashreplace").decode().splitlines()))


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for the known name closest to `word`, else the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1) if isinstance(word, str) else []
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(names)}."


_REPR = reprlib.Repr()
_REPR.maxlevel = 4
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 16
_REPR.maxstring = _REPR.maxother = 100


def _shorten(value: object) -> str:
    """Show any value on one line, however long or deep: plain `repr` fails on some that a file may hold."""
    try:
        shown = _REPR.repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits.
        return f"a {type(value).__name__} too long to show"
    return shown if len(shown) <= 120 else f"{shown[:117]}..."
