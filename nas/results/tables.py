"""Tables for people: stages for a terminal, the front, and what a family costs."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.table import Table

from nas.complexity import complexity
from nas.models.tables import STAGE_COLUMNS, markdown_table, short_count, stage_markdown, stage_rows
from nas.spec import ArchSpec


def stage_table(spec: ArchSpec, title: str = "") -> Table:
    """Return the stage table for a terminal."""
    table = Table(title=title or None)
    for name in STAGE_COLUMNS:
        table.add_column(name, justify="left" if name in ("Stage", "Operator") else "right")
    for row in stage_rows(spec):
        table.add_row(*row)
    return table


FRONT_COLUMNS = (
    "Rank",
    "Trial",
    "Accuracy",
    "Step (ms)",
    "Relative (IQR)",
    "Params",
    "MACs",
    "Reward",
    "Architecture",
)


def front_rows(front: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the cells of a front such as `Run.pareto`, in the order of its rows; "" where not measured.

    Behind the rank, = says that the reward and the best one differ by less than the noise, and ? that the candidate may
    be dominated; see `mark_ties`.
    """
    return [
        (
            _rank(rank, row),
            str(row["number"]),
            f"{row['accuracy']:.2%} ± {row['accuracy_stderr']:.2%}",
            *_step_cells(row),
            short_count(row["num_params"]),
            short_count(row["num_macs"]),
            "" if pd.isna(row["reward"]) else f"{row['reward']:.4f}",
            row["arch"],
        )
        for rank, row in enumerate(front.to_dict("records"), start=1)
    ]


def _rank(rank: int, row: Mapping[Hashable, Any]) -> str:
    marks = ("=" if rank > 1 and row["ties_with_best"] else "") + ("?" if row["is_tied"] else "")
    return f"{rank} {marks}".rstrip()


RANK_MARKS = "= within noise of the best, ? may be dominated within noise"


def _step_cells(row: Mapping[Hashable, Any]) -> tuple[str, str]:
    if pd.isna(row["step_time_s"]):
        return "", ""
    return (
        f"{row['step_time_s'] * 1e3:.2f}",
        f"{row['relative_step_time']:.2f} ({row['relative_step_time_spread']:.2f})",
    )


def front_table(front: pd.DataFrame, *, max_rows: int = 10) -> Table:
    """Return the first rows of a front such as `Run.pareto` for a terminal."""
    shown = front.head(max_rows)
    title = f"Pareto front, {len(shown)} of {len(front)}" if len(shown) < len(front) else "Pareto front"
    table = Table(title=f"{title}{_predicted(front)}", caption=RANK_MARKS)
    for name in FRONT_COLUMNS[:-1]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(FRONT_COLUMNS[-1])
    for row in front_rows(shown):
        table.add_row(*row)
    return table


def _predicted(front: pd.DataFrame) -> str:
    """Return what a front's title says about step times that were not measured."""
    predicted = front[front["timing_source"].str.startswith("predicted").fillna(False).astype(bool)]
    if predicted.empty:
        return ""
    return (
        f", step times {predicted['timing_source'].iloc[0]} (error {predicted['timing_error_fraction'].median():.0%})"
    )


@dataclass(frozen=True, slots=True)
class FamilyMember:
    """Attributes:
    size: "S", "M" and so on.
    spec: The network.
    num_params: Learnable parameters, for the run's classes and channels.
    num_macs: Multiply-adds of one forward pass of one image of the validation size.
    times: Step time in seconds and relative to S, each with its interquartile range; None where it was not measured.
    """

    size: str
    spec: ArchSpec
    num_params: int
    num_macs: int
    times: "MemberTimes | None" = None

    @property
    def image_sizes(self) -> tuple[int, int]:
        """Pixels a side in training and at validation."""
        return self.spec.train_image_size, self.spec.eval_image_size or self.spec.train_image_size


@dataclass(frozen=True, slots=True)
class MemberTimes:
    """Attributes:
    step_time_s: Seconds of a training step.
    step_time_spread_s: Interquartile range.
    relative_step_time: Relative to S.
    relative_step_time_spread: Interquartile range.
    """

    step_time_s: float
    step_time_spread_s: float
    relative_step_time: float
    relative_step_time_spread: float


def family_members(family: Mapping[str, ArchSpec], *, num_classes: int, in_channels: int) -> list[FamilyMember]:
    """Count what each network of a family costs, in closed form."""
    members = []
    for size, spec in family.items():
        image_size = spec.eval_image_size or spec.train_image_size
        cost = complexity(spec, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        members.append(FamilyMember(size, spec, cost.num_params, cost.num_macs))
    return members


_FAMILY_COLUMNS = ("Size", "Params", "MACs", "Train size", "Eval size", "Blocks", "Dropout")
_TIME_COLUMNS = ("Step (ms)", "Relative to S")


def family_rows(members: Sequence[FamilyMember]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return columns and rows; those of step time only where one was measured."""
    rows: list[tuple[str, ...]] = []
    for member in members:
        row = (
            member.size,
            short_count(member.num_params),
            short_count(member.num_macs),
            *map(str, member.image_sizes),
            str(member.spec.num_blocks),
            f"{member.spec.dropout:g}",
        )
        rows.append((*row, *_time_cells(member.times)))
    if any(member.times for member in members):
        return _FAMILY_COLUMNS + _TIME_COLUMNS, rows
    return _FAMILY_COLUMNS, [row[: len(_FAMILY_COLUMNS)] for row in rows]


def _time_cells(times: MemberTimes | None) -> tuple[str, str]:
    if times is None:
        return "", ""
    return (
        f"{times.step_time_s * 1e3:.2f} ({times.step_time_spread_s * 1e3:.2f})",
        f"{times.relative_step_time:.2f} ({times.relative_step_time_spread:.2f})",
    )


def family_table(members: Sequence[FamilyMember]) -> Table:
    """Return what each member costs for a terminal; step times with their interquartile range in brackets."""
    table = Table(title="Family")
    columns, rows = family_rows(members)
    for name in columns:
        table.add_column(name, justify="left" if name == "Size" else "right")
    for row in rows:
        table.add_row(*row)
    return table


def family_markdown(members: Sequence[FamilyMember], *, title: str, notes: Sequence[str] = ()) -> str:
    """Return a page with what each member costs, its stage table, and sentences about them."""
    columns, rows = family_rows(members)
    parts = [f"# {title}", markdown_table(columns, rows, "l" + "r" * (len(columns) - 1))]
    parts.append("MACs are multiply-adds of one forward pass of one image of the eval size.")
    if columns != _FAMILY_COLUMNS:
        parts.append("Step times are medians, with the interquartile range in brackets.")
    if notes:
        parts.append(" ".join(notes))
    for member in members:
        parts += [f"## {member.size}", stage_markdown(member.spec)]
    return "\n\n".join(parts) + "\n"
