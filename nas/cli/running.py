"""`run`: a verb as a process, with the user's mistakes as one line and exit codes that scripts can rely on."""

import io
import logging
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
