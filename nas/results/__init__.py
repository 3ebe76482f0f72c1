"""A finished (or running) search as data: `nas.results.load(run)` gives tables, the front, the best and its family.

Importing the package is instant; pandas and Optuna are imported with the first name that is used. No torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.optimization.pareto import pareto_front
    from nas.results.choose import knee, within
    from nas.results.comparison import compare
    from nas.results.folder import RunFolder
    from nas.results.importances import importance
    from nas.results.manifest import Manifest
    from nas.results.references import dominates_reference
    from nas.results.run import PARETO_OBJECTIVES, Run, load
    from nas.results.runs import Runs, load_all
    from nas.results.signals import rank_signals
    from nas.results.ties import mark_ties
    from nas.results.volume import hypervolume
    from nas.results.write import write_tables

__all__ = [
    "PARETO_OBJECTIVES",
    "Manifest",
    "Run",
    "RunFolder",
    "Runs",
    "compare",
    "dominates_reference",
    "hypervolume",
    "importance",
    "knee",
    "load",
    "load_all",
    "mark_ties",
    "pareto_front",
    "rank_signals",
    "within",
    "write_tables",
]

# No module may have the name of one of these: once imported, it would stand in the way of it.
_HOMES = {
    "Manifest": "nas.results.manifest",
    "PARETO_OBJECTIVES": "nas.results.run",
    "Run": "nas.results.run",
    "RunFolder": "nas.results.folder",
    "Runs": "nas.results.runs",
    "compare": "nas.results.comparison",
    "dominates_reference": "nas.results.references",
    "hypervolume": "nas.results.volume",
    "importance": "nas.results.importances",
    "knee": "nas.results.choose",
    "load": "nas.results.run",
    "load_all": "nas.results.runs",
    "mark_ties": "nas.results.ties",
    "pareto_front": "nas.optimization.pareto",
    "rank_signals": "nas.results.signals",
    "within": "nas.results.choose",
    "write_tables": "nas.results.write",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
