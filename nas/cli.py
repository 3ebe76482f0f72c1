"""What the verbs' command lines share: parsing, log lines, and errors as one line with an exit code.

Exit codes: 0 done, 1 the machine's fault, 2 bad input, 130 interrupted.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import tyro
from rich.console import Console

from nas.errors import InvalidInputError, NasError

Settings = TypeVar("Settings")

_WIDTH_WITHOUT_TERMINAL = 150


def parse(kind: type[Settings], prog: str, args: Sequence[str], default: Settings | None = None) -> Settings:
    """Read settings from command line arguments; what is not given is the default's. Bad arguments exit with 2."""
    if default is None:
        return tyro.cli(kind, prog=prog, args=args)
    return tyro.cli(kind, prog=prog, args=args, default=default)


def run(verb: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a verb with this process's arguments and exit; the user's mistakes become one line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        code = verb(sys.argv[1:])
    except InvalidInputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        code = 2
    except NasError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def console() -> Console:
    """Return where results are printed: stdout, wide enough for tables when it is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=_WIDTH_WITHOUT_TERMINAL)


def short_path(path: Path) -> Path:
    """Return a path as short as it can be typed from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
