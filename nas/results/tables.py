"""Tables for people: stages in the layout of the EfficientNetV2 paper's Table 4, the front, and what a family costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from rich.table import Table

from nas.complexity import complexity
from nas.spec import ArchSpec, StageSpec

STAGE_COLUMNS = ("Stage", "Operator", "Stride", "#Channels", "#Layers")


def stage_rows(spec: ArchSpec) -> list[tuple[str, str, str, str, str]]:
    """Return a network in the layout of the paper's Table 4: stem, stages, head; columns as `STAGE_COLUMNS`."""
    rows = [("0", "Conv3x3", str(spec.stem_stride), str(spec.stem_channels), "1")]
    for number, stage in enumerate(spec.stages, start=1):
        rows.append((str(number), operator(stage), str(stage.stride), str(stage.out_channels), str(stage.num_layers)))
    rows.append((str(len(spec.stages) + 1), "Conv1x1 & Pooling & FC", "-", str(spec.head_channels), "1"))
    return rows


def operator(stage: StageSpec) -> str:
    """Return a stage's operator as the paper writes it, for example "MBConv6, k3x3, SE0.25"."""
    name = "Fused-MBConv" if stage.block == "fused" else "MBConv"
    squeeze = f", SE{stage.se_ratio:g}" if stage.se_ratio else ""
    return f"{name}{stage.expand_ratio}, k{stage.kernel_size}x{stage.kernel_size}{squeeze}"


def stage_markdown(spec: ArchSpec) -> str:
    """Return the stage table as Markdown."""
    return _markdown(STAGE_COLUMNS, stage_rows(spec), "llrrr")


def stage_table(spec: ArchSpec, title: str = "") -> Table:
    """Return the stage table for a terminal."""
    table = Table(title=title or None)
    for name in STAGE_COLUMNS:
        table.add_column(name, justify="left" if name in ("Stage", "Operator") else "right")
    for row in stage_rows(spec):
        table.add_row(*row)
    return table


def front_table(front: pd.DataFrame, *, max_rows: int = 10) -> Table:
    """Return the first rows of a front (columns as in `trials_frame`) for a terminal."""
    shown = front.head(max_rows)
    title = f"Pareto front, {len(shown)} of {len(front)}" if len(shown) < len(front) else "Pareto front"
    table = Table(title=f"{title}{_predicted(front)}")
    for name in ("Rank", "Trial", "Accuracy", "Step (ms)", "Relative (IQR)", "Params", "MACs", "Reward"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Architecture")
    for rank, row in enumerate(shown.to_dict("records"), start=1):
        table.add_row(
            str(rank),
            str(row["number"]),
            f"{row['accuracy']:.2%} ± {row['accuracy_stderr']:.2%}",
            f"{row['step_time_s'] * 1e3:.2f}",
            f"{row['relative_step_time']:.2f} ({row['relative_step_time_spread']:.2f})",
            short_count(row["num_params"]),
            short_count(row["num_macs"]),
            f"{row['reward']:.4f}",
            row["arch"],
        )
    return table


def _predicted(front: pd.DataFrame) -> str:
    """Return what a front's title says about step times that were not measured."""
    predicted = front[front["step_time_source"].ne("measured").fillna(False)]
    if predicted.empty:
        return ""
    return f", step times {predicted['step_time_source'].iloc[0]} (error {predicted['step_time_error'].median():.0%})"


def short_count(number: int) -> str:
    """Return a count in three digits, for example 21.5M."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{number / size:#.3g}".rstrip(".") + unit
    return str(number)


@dataclass(frozen=True, slots=True)
class FamilyMember:
    """Attributes:
    size: "S", "M" or "L".
    spec: The network.
    num_params: Learnable parameters, for the run's classes and channels.
    num_macs: Multiply-adds of one forward pass of one image of the validation size.
    """

    size: str
    spec: ArchSpec
    num_params: int
    num_macs: int

    @property
    def image_sizes(self) -> tuple[int, int]:
        """Pixels a side in training and at validation."""
        return self.spec.train_image_size, self.spec.eval_image_size or self.spec.train_image_size


def family_members(family: Mapping[str, ArchSpec], *, num_classes: int, in_channels: int) -> list[FamilyMember]:
    """Count what each network of a family costs, in closed form."""
    members = []
    for size, spec in family.items():
        image_size = spec.eval_image_size or spec.train_image_size
        cost = complexity(spec, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        members.append(FamilyMember(size, spec, cost.num_params, cost.num_macs))
    return members


_FAMILY_COLUMNS = ("Size", "Params", "MACs", "Train size", "Eval size", "Blocks", "Dropout")


def _family_rows(members: Sequence[FamilyMember]) -> list[tuple[str, ...]]:
    return [
        (
            member.size,
            short_count(member.num_params),
            short_count(member.num_macs),
            *map(str, member.image_sizes),
            str(member.spec.num_blocks),
            f"{member.spec.dropout:g}",
        )
        for member in members
    ]


def family_table(members: Sequence[FamilyMember]) -> Table:
    """Return what each member costs for a terminal."""
    table = Table(title="Family")
    for name in _FAMILY_COLUMNS:
        table.add_column(name, justify="left" if name == "Size" else "right")
    for row in _family_rows(members):
        table.add_row(*row)
    return table


def family_markdown(members: Sequence[FamilyMember], *, title: str) -> str:
    """Return a page with what each member costs and its stage table."""
    parts = [f"# {title}", _markdown(_FAMILY_COLUMNS, _family_rows(members), "l" + "r" * 6)]
    parts.append("MACs are multiply-adds of one forward pass of one image of the eval size.")
    for member in members:
        parts += [f"## {member.size}", stage_markdown(member.spec)]
    return "\n\n".join(parts) + "\n"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    rules = ["---:" if side == "r" else "---" for side in align]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (columns, rules, *rows))
