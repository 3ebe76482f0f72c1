"""Checks that settings of several verbs share."""

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nas.errors import did_you_mean, invalid

_MAX_SECONDS = 10_000_000
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def check_type(name: str, value: object, hint: Any) -> None:
    """Raise InvalidInputError unless a value of a JSON file is of a setting's type; paths are texts there."""
    if not _fits(value, hint):
        rule = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
        raise invalid(f"{name} in the settings", f"of type {rule}", value, "The file was edited.")


def check_kept(kind: type, plain: Mapping[str, Any], left_out: Collection[str], of: str) -> None:
    """Raise InvalidInputError unless what a manifest kept are settings of a kind, each of its type.

    Args:
        kind: The settings' class.
        plain: By name.
        left_out: Fields of the class that a manifest does not keep.
        of: What they are settings of, for messages: "a search".
    """
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name not in left_out}
    for name, value in plain.items():
        if name not in hints:
            raise invalid("settings in the manifest", f"those of {of}", name, did_you_mean(name, hints))
        check_type(name, value, hints[name])


def _fits(value: object, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if origin is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    if hint is Path:
        return isinstance(value, str)
    return type(value) is hint or (hint is float and type(value) is int)  # isinstance would take true for 1


def check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise invalid("seed", "from 0 to 4294967295", seed, "Choose a small whole number.")


def check_val_images(val_images: int | None) -> None:
    if val_images is not None and val_images < 1:
        raise invalid("val_images", "at least 1", val_images, "Leave it out for the default.")


def check_seconds(name: str, seconds: float) -> None:
    if not 0 < seconds <= _MAX_SECONDS:
        raise invalid(
            name, f"above 0 and at most {_MAX_SECONDS:,}", seconds, "Give seconds, or leave it out for the default."
        )


def parse_range(name: str, text: str) -> tuple[float, float]:
    """Return both ends of a range such as "5:15"; those of one number are the same.

    Raises:
        InvalidInputError: If the text is none, or an end is negative or not finite.
    """
    try:
        ends = [float(word) for word in text.split(":")]
    except ValueError:
        ends = []
    if len(ends) not in (1, 2) or not all(0 <= end < math.inf for end in ends):
        raise invalid(name, "FIRST:LAST or one number, of at least 0", text, "Write for example 0.1:0.3.")
    return ends[0], ends[-1]


def parse_bytes(name: str, text: str) -> int:
    """Return the bytes, at least 1, of a size such as "4GiB" or "500 MB"; raise InvalidInputError if it is none."""
    found = re.fullmatch(rf"(\d+(?:\.\d+)?) ?({'|'.join(_BYTES)})", text.strip())
    if found is None or not (size := int(float(found[1]) * _BYTES[found[2]])):
        raise invalid(name, f"a number and a unit ({', '.join(_BYTES)})", text, "Write for example 4GiB.")
    return size
