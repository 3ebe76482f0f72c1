"""A finished (or running) search as data: `nas.results.load(run)` gives tables, the front, the best and its family.

Importing the package is instant; pandas and Optuna are imported with the first name that is used. No torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.results.folder import RunFolder
    from nas.results.manifest import Manifest
    from nas.results.run import Run, load
    from nas.results.write import write_tables

__all__ = ["Manifest", "Run", "RunFolder", "load", "write_tables"]

_HOMES = {
    "Manifest": "manifest",
    "Run": "run",
    "RunFolder": "folder",
    "load": "run",
    "write_tables": "write",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"nas.results.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
