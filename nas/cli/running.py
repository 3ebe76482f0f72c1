"""`run`: a verb as a process, with the user's mistakes as one line and exit codes that scripts can rely on."""

import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from nas.errors import InvalidInputError, NasError


def run(verb: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a verb with this process's arguments and exit; the user's mistakes become one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # Names of files may be no text, which must not end a verb.
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        code = _flushed(verb, sys.argv[1:])
    except InvalidInputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        code = 2
    except NasError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        code = 1
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # Whoever reads, such as `head`, has seen enough: Python must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _flushed(verb: Callable[[Sequence[str]], int], args: Sequence[str]) -> int:
    """Run a verb to where all that it printed is written, also where it ends by itself, as for --help."""
    try:
        return verb(args)
    finally:
        sys.stdout.flush()
