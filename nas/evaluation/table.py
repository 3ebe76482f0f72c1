"""Candidates that were measured before: a CSV file of them takes the place of training. No torch."""

import csv
import hashlib
import io
import itertools
import math
import statistics
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.errors import invalid
from nas.evaluation.job import Evaluate, Job
from nas.evaluation.measurement import Measurement
from nas.space import Params, SearchSpace, Value

TABLE_METRICS = frozenset({"accuracy", "num_params", "num_macs"})
"""What a table says of a network; an objective of a search in a table is made of these."""

MAX_CONFIGURATIONS = 1_000_000
"""A table holds every network of its space, which is checked one by one."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """What a table says of one network.

    Attributes:
        params: Its parameters in the space.
        accuracies: Top-1 of two or more trainings with different seeds, each 0 to 1; higher is better.
        num_params: Learnable parameters.
        num_macs: Multiply-adds of one forward pass of one image.
    """

    params: Params
    accuracies: tuple[float, ...]
    num_params: int
    num_macs: int

    def __post_init__(self) -> None:
        if len(self.accuracies) < 2:
            raise invalid("accuracies", "of two or more trainings", self.accuracies, "One tells nothing of its noise.")
        if not all(0 <= accuracy <= 1 for accuracy in self.accuracies):
            raise invalid("accuracies", "from 0 to 1", self.accuracies, "Correct the table.")
        if min(self.num_params, self.num_macs) < 1:
            raise invalid("num_params and num_macs", "at least 1", (self.num_params, self.num_macs), "Correct them.")


class TabularSpace(SearchSpace):
    """A space whose networks were all measured; subclasses say how a row of the table is read.

    Attributes:
        columns: That a table must have.
        num_classes: Of the data that the networks were trained on.
        in_channels: Likewise.
    """

    columns: tuple[str, ...]
    num_classes: int
    in_channels: int

    @abstractmethod
    def read_row(self, row: Mapping[str, str]) -> TableRow:
        """Return what a row says; texts by column, "" where the row is short.

        Raises:
            ValueError or LookupError: If it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Table:
    """Measured networks by `arch_id`: the evaluator of a search in a table, and plain data, so that workers get it.

    Attributes:
        name: Of the file.
        digest: Sixteen hexadecimal digits that change with its content.
        rows: By `arch_id`.
        reference_params: Parameters of the space's reference network.
    """

    name: str
    digest: str
    rows: Mapping[str, TableRow]
    reference_params: int

    def __call__(self) -> Evaluate:
        return self.look_up

    def look_up(self, job: Job) -> Measurement:
        """Return what the table says of a candidate: the mean of its trainings, which took no time here.

        The standard error is that of the mean, from the trainings' own spread.
        """
        row = self.rows[job.spec.arch_id]
        return Measurement(
            accuracy=statistics.fmean(row.accuracies),
            accuracy_stderr=statistics.stdev(row.accuracies) / math.sqrt(len(row.accuracies)),
            num_params=row.num_params,
            relative_params=row.num_params / self.reference_params,
            num_macs=row.num_macs,
            fidelity=f"{len(row.accuracies)} trainings of {self.name}",
            timing_source="not measured",
        )


def read_table(path: Path, space: SearchSpace) -> Table:
    """Read the measured networks of a space.

    Raises:
        InvalidInputError: If the space is of another kind, the file cannot be read, lacks a column or a network of the
            space, a row makes no sense, or rows of equal networks differ.
    """
    if not isinstance(space, TabularSpace):
        raise invalid("space", "one whose networks stand in a table", space.name, "Leave out --table.")
    if space.num_configurations > MAX_CONFIGURATIONS:
        rule = f"one of at most {MAX_CONFIGURATIONS:,} configurations"
        raise invalid("space", rule, space.num_configurations, "Leave out --table.")
    try:
        content = path.read_bytes()
        lines = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), restval="")
        missing = [name for name in space.columns if name not in (lines.fieldnames or ())]
        if missing:
            rule = f"a CSV file with the columns {', '.join(space.columns)}"
            raise invalid("table", rule, str(path), f"It lacks {', '.join(missing)}.")
        rows = _rows(lines, path, space)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise invalid("table", "a readable CSV file", str(path), f"{error}.") from error
    reference = rows[space.reference.arch_id]
    return Table(path.name, hashlib.sha256(content).hexdigest()[:16], rows, reference.num_params)


def _rows(lines: "csv.DictReader[str]", path: Path, space: TabularSpace) -> dict[str, TableRow]:
    """Return the rows by `arch_id`; every network of the space has one."""
    rows: dict[str, TableRow] = {}
    seen: set[tuple[Value, ...]] = set()
    for line in lines:
        where = f"{path}, line {lines.line_num}"
        try:
            row = space.read_row(line)
            arch_id = space.decode(row.params).arch_id
        except (ValueError, LookupError) as error:
            raise invalid("table", "one that can be read", where, f"{error}.") from error
        known = rows.setdefault(arch_id, row)
        if (known.accuracies, known.num_params, known.num_macs) != (row.accuracies, row.num_params, row.num_macs):
            raise invalid("table", "one that says the same of equal networks", where, "An earlier row differs.")
        seen.add(tuple(row.params[name] for name in space.choices))
    for values in itertools.product(*space.choices.values()):
        if values not in seen:
            spec = space.decode(dict(zip(space.choices, values, strict=True)))
            if spec.arch_id not in rows and space.excess(spec) <= 0:
                rule = f"one with every network of space {space.name}"
                raise invalid("table", rule, str(path), f"It lacks {'-'.join(map(str, values))}.")
    return rows
