"""What the verbs' command lines share: parsing, a settings file, output, and errors as one line with an exit code.

Exit codes: 0 done, 1 the machine's fault or nothing was found, 2 bad input, 130 interrupted.
"""

from nas.cli.output import console, print_json, short_path
from nas.cli.parsing import parse
from nas.cli.running import run

__all__ = ["console", "parse", "print_json", "run", "short_path"]
