"""Where verbs print: tables and words for people, or one JSON object for programs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

_WIDTH_WITHOUT_TERMINAL = 150


def console(*, stderr: bool = False) -> Console:
    """Return where a verb talks to people: stdout, or stderr where stdout is for JSON.

    It is wide enough for tables when it is no terminal. Without a terminal, or with NO_COLOR set, there are no colours.
    """
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=_WIDTH_WITHOUT_TERMINAL)


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object to stdout. Numbers that JSON does not know (NaN) are a ValueError: give None instead."""
    print(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))  # noqa: T201


def short_path(path: Path) -> Path:
    """Return a path as short as it can be typed from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
