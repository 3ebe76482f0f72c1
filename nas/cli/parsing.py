"""`parse`: settings from a command line and a settings file, and what is wrong with either in one line."""

import io
import os
import re
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import MISSING, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import tyro

from nas.cli.completion import asks_for_completion, hand_out
from nas.cli.settings_file import read_settings, rule_of
from nas.errors import InvalidInputError, did_you_mean, invalid

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")

_RULE = re.compile(r"^ *-{3,} *$", re.MULTILINE)
_BAD_VALUE = re.compile(r"Error parsing --(?P<flag>[\w-]+): .*: '(?P<value>.*)'")


def parse(kind: type[Settings], prog: str, args: Sequence[str], default: Settings | None = None) -> Settings:
    """Read settings: of `default`, or else the class's defaults; over these the file of --config; over these flags.

    Raises:
        InvalidInputError: If an argument, or the file, cannot be read.
    """
    is_completion = asks_for_completion(args, prog)
    if is_completion:
        # A shell completes the first word, and that of `python -m nas.search` is any Python's.
        prog = prog.removeprefix("python -m ").replace(".", "-")
    _check_flags(kind, prog, args)
    before, said = _defaults(kind, args, default), io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):  # which also makes tyro leave out colours and boxes
            return tyro.cli(kind, prog=prog, args=args, default=before)
    except SystemExit as ending:
        if ending.code:
            raise _one_line(kind, prog, said.getvalue()) from ending
        if is_completion:
            hand_out(args, said.getvalue())
            raise
        if os.environ.get("NO_COLOR"):
            print(said.getvalue(), end="")  # noqa: T201
            raise
    return tyro.cli(kind, prog=prog, args=args, default=before)  # Help, as handsome as the terminal can show it.


def _defaults(kind: type[Settings], args: Sequence[str], default: Settings | None) -> Settings:
    """Return what holds where no flag says otherwise; required settings that nothing gives are tyro's MISSING."""
    path = _config_path(args)
    values = {} if path is None else read_settings(path, kind)
    if default is not None:
        return replace(default, **values)
    required = (f.name for f in fields(kind) if f.default is MISSING)
    return kind(**{**dict.fromkeys(required, tyro.MISSING), **values})


def _config_path(args: Sequence[str]) -> Path | None:
    found = None
    for word, after in pairwise([*args, ""]):
        if word == "--config" and after:
            found = Path(after)
        elif word.startswith("--config="):
            found = Path(word.partition("=")[2])
    return found


def _check_flags(kind: type[Settings], prog: str, args: Sequence[str]) -> None:
    """Refuse a flag that is none, with the name of the nearest one."""
    named = [f"--{f.name.replace('_', '-')}" for f in fields(kind)]
    switches = [f"--no-{f.name.replace('_', '-')}" for f in fields(kind) if get_type_hints(kind)[f.name] is bool]
    known = [*named, *switches, "--help"]
    for word in args:
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known and not flag.startswith("--tyro-"):
            near = did_you_mean(flag, known)
            todo = near if near.startswith("Did you mean") else f"See {prog} --help."
            raise invalid("flag", "one of this command", word.partition("=")[0], todo)


def _one_line(kind: type[Settings], prog: str, said: str) -> InvalidInputError:
    """Return tyro's message as an error, in the house's form where that is known.

    It is a title, the message, and help, with rules between them.
    """
    paragraphs = _RULE.split(said)
    text = " ".join((paragraphs[1] if len(paragraphs) > 1 else said).split())
    bad: re.Match[str] | None = _BAD_VALUE.match(text)
    if bad is None:
        return InvalidInputError(f"{text.rstrip('.')}. See {prog} --help.")
    name = bad["flag"].replace("-", "_")
    hints: dict[str, Any] = get_type_hints(kind)
    return invalid(name, rule_of(hints[name]), bad["value"], f"See {prog} --help.")
