"""Find a search space by name."""

import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path

from nas.errors import did_you_mean, invalid
from nas.space import SearchSpace

GROUP = "nas.search_spaces"


def space_names() -> tuple[str, ...]:
    """Return the names of the installed spaces: the entry points of the group `nas.search_spaces`."""
    return tuple(sorted(_targets()))


def get_space(name: str) -> SearchSpace:
    """Return a space by its entry point's name, or by "package.module:attribute".

    A module is also looked for in the working directory, so that a file beside the data is enough.

    Raises:
        InvalidInputError: If there is no such space, or what is there is no SearchSpace.
    """
    if ":" not in name:
        targets = _targets()
        if name not in targets:
            todo = f"{did_you_mean(name, targets)} Or give your own as package.module:attribute."
            raise invalid("space", "known", name, todo)
        name = targets[name]
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise invalid("space", "package.module:attribute", name, "What is before the colon names no module.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:  # Any other exception of the user's own code is theirs to see whole.
        raise invalid("space", "package.module:attribute", name, f"It cannot be imported: {error}.") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, SearchSpace):
        candidates = [key for key, value in vars(module).items() if isinstance(value, SearchSpace)]
        todo = did_you_mean(attribute, candidates) if candidates else "The module defines none."
        raise invalid("space", "the name of a SearchSpace in the module", name, todo)
    return found


def _targets() -> dict[str, str]:
    """Return "module:attribute" of each installed space by its name."""
    return {point.name: point.value for point in entry_points(group=GROUP)}
