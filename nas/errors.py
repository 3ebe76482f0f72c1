"""Errors that users of the toolkit can meet.

Every message follows one form, "`name` must be <rule>, got <value>. <what to do>", and the command line prints it
as a single line and exits with code 2.
"""

import difflib
from collections.abc import Iterable


class NasError(Exception):
    """Base class of the toolkit's own errors."""


class InvalidInputError(NasError, ValueError):
    """Something the user gave is not usable: a flag, a file, a data set, a table. Nothing has been changed."""


class DivergedError(NasError, ArithmeticError):
    """Training of a candidate ran into numbers that are not finite. A finding about the candidate, not a fault."""


class WorkerStartError(NasError):
    """Worker processes end before they can take a job, so that no search is possible."""


def invalid(name: str, rule: str, value: object, todo: str) -> InvalidInputError:
    """Build the error for one bad value in the house's form.

    Args:
        name: What the value is called where the user wrote it.
        rule: What it must be, as it follows "must be".
        value: What was found; long values are shortened.
        todo: One sentence on what to do about it.
    """
    shown = repr(value)
    if len(shown) > 120:
        shown = f"{shown[:117]}..."
    return InvalidInputError(f"`{name}` must be {rule}, got {shown}. {todo}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for the closest known word, else the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(names)}."
