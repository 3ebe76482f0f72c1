"""Scripts by which shells complete flags: tyro makes them, this hands them out."""

import re
from collections.abc import Sequence
from pathlib import Path

from nas.errors import invalid

_PRINT, _WRITE = "--tyro-print-completion", "--tyro-write-completion"
_SHELLS = ("bash", "zsh", "fish")
_SPEC = re.compile(r"^COMPLETION_SPEC = .*$", re.MULTILINE)
_LINE_BREAK = re.compile(r"\\+n")


def asks_for_completion(args: Sequence[str], prog: str) -> bool:
    """Return whether a command line asks for a script.

    Raises:
        InvalidInputError: If it does not name a shell that there is one for.
    """
    if not args or args[0] not in (_PRINT, _WRITE):
        return False
    shell = args[1] if len(args) > 1 else None
    if shell not in _SHELLS:
        raise invalid("shell", f"one of {', '.join(_SHELLS)}", shell, f"For example: {prog} {args[0]} bash.")
    return True


def hand_out(args: Sequence[str], printed: str) -> None:
    """Put the script where the command line wants it.

    Args:
        args: The command line.
        printed: What tyro printed: the script, or nothing if it wrote a file.
    """
    if args[0] == _WRITE and args[2] != "-":
        path = Path(args[2])
        path.write_text(_mend(path.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(_mend(printed), end="")  # noqa: T201


def _mend(script: str) -> str:
    """Return a script whose help texts have one line each.

    The part of it that is Python prints a flag and its help to a line, and the shell takes what begins a line for a
    completion. tyro 1.0 leaves the line breaks of docstrings in, so the shell would offer words of their second lines.
    The texts are in one literal, where a line break is a backslash, in fish two of them, and an n.
    """
    return _SPEC.sub(lambda spec: _LINE_BREAK.sub(" ", spec[0]), script)
