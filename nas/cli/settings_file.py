"""`--config FILE.toml`: a verb's settings from a file, by the names of its flags."""

import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nas.errors import InvalidInputError, did_you_mean, invalid

_RULES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path as a text"}


def read_settings(path: Path, kind: type) -> dict[str, Any]:
    """Return what a TOML file says of the fields of a settings class; fields that it leaves out are not there.

    Keys are the fields' names, with - or _. Paths are relative to the working directory, as on a command line.

    Raises:
        InvalidInputError: If the file cannot be read or is no TOML, for keys that are no settings, or for values of
            another type.
    """
    try:
        with path.open("rb") as file:
            plain = tomllib.load(file)
    except OSError as error:
        raise invalid("config", "a readable file", str(path), f"{error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise invalid("config", "a TOML file", str(path), f"It does not parse: {error}.") from error
    try:
        return convert_settings(plain, kind)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error


def convert_settings(plain: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Return TOML's entries as values of a class's fields; raise InvalidInputError, as `read_settings`."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name != "config"}
    values: dict[str, Any] = {}
    for key, value in plain.items():
        name = key.replace("-", "_")
        if name not in hints:
            raise invalid("setting", "one of this command", key, did_you_mean(name, hints))
        if name in values:
            raise invalid(name, "given once", value, "It is there with - and with _: leave out one of them.")
        values[name] = _converted(name, hints[name], value)
    return values


def _converted(name: str, hint: Any, value: Any) -> Any:
    """Return a TOML value as the type of a field; raise InvalidInputError if it is of another type."""
    hint = without_none(hint)
    origin = get_origin(hint)
    if origin is Literal:
        if value in get_args(hint):
            return value
        todo = did_you_mean(value, get_args(hint))
    elif origin is tuple:
        if isinstance(value, list) and all(type(item) is str for item in value):
            return tuple(value)
        todo = 'For example ["S", "M"].'
    else:
        if type(value) is hint:  # isinstance would take true for 1
            return value
        if (hint, type(value)) in {(float, int), (Path, str)}:
            return hint(value)
        todo = "Correct it, or leave it out for the default."
    raise invalid(name, rule_of(hint), value, todo)


def without_none(hint: Any) -> Any:
    """Return the type of a field that may also be None."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    [only] = [each for each in get_args(hint) if each is not types.NoneType]
    return only


def rule_of(hint: Any) -> str:
    """Return what a value of a field must be, as it follows "must be"."""
    hint = without_none(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    return "a list of texts" if get_origin(hint) is tuple else _RULES[hint]
