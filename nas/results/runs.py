"""`load_all`: several runs at once, their tables one below the other."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import pandas as pd

from nas.errors import invalid
from nas.results.run import Run, load


class Runs(Mapping[str, Run]):
    """Runs by name, in the order in which they were given. Made by `load_all`.

    The tables have the runs' rows one below the other, with the name in a first column `run`; `number` is unique only
    within a run. Whether numbers of two runs compare is for their manifests to say: see `compare`.
    """

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._runs = dict(runs)

    def __getitem__(self, name: str) -> Run:
        return self._runs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The rows of each run's `trials`; a choice that a run's space lacks is missing in its rows."""
        return self._concatenated({name: run.trials for name, run in self.items()})

    @cached_property
    def pareto(self) -> pd.DataFrame:
        """The rows of each run's own front; `pareto_front(runs.trials, PARETO_OBJECTIVES)` is that of all together."""
        return self._concatenated({name: run.pareto for name, run in self.items()})

    @cached_property
    def architectures(self) -> pd.DataFrame:
        """The rows of each run's `architectures`."""
        return self._concatenated({name: run.architectures for name, run in self.items()})

    @cached_property
    def rungs(self) -> pd.DataFrame:
        """The rows of each run's `rungs`."""
        return self._concatenated({name: run.rungs for name, run in self.items()})

    @staticmethod
    def _concatenated(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        whole = pd.concat(frames.values(), ignore_index=True)
        names = [name for name, frame in frames.items() for _ in range(len(frame))]
        whole.insert(0, "run", pd.Series(names, index=whole.index, dtype="string"))
        return whole

    def __repr__(self) -> str:
        return f"Runs({', '.join(self)})"


def load_all(paths: Iterable[str | os.PathLike[str]]) -> Runs:
    """Load several runs, for example `load_all(Path("results").glob("2026*"))`.

    Args:
        paths: The runs' folders, at least one. A run is named after its folder, or by its path where two folders of
            one name are given.

    Raises:
        InvalidInputError: If a path is no run or is given twice, or there is none.
    """
    if isinstance(paths, str | os.PathLike):
        raise invalid("paths", "a list of folders", str(paths), "Use load for a single run.")
    runs = [load(path) for path in paths]
    if not runs:
        raise invalid("paths", "one or more folders of runs", [], "Check the path or the pattern.")
    names = run_names(runs)
    if len(set(names)) < len(runs):
        raise invalid("paths", "of different runs", names, "Give each once.")
    return Runs(dict(zip(names, runs, strict=True)))


def run_names(runs: Sequence[Run]) -> list[str]:
    """Return the names of the runs' folders, or their paths where two folders have one name."""
    folders = [run.folder.path for run in runs]
    names = [folder.name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
