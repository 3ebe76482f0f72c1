"""Tables of one network in the layout of the EfficientNetV2 paper's Table 4, and how numbers look in tables."""

from collections.abc import Sequence

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
    return markdown_table(STAGE_COLUMNS, stage_rows(spec), "llrrr")


def short_count(number: int) -> str:
    """Return a count in three digits, for example 21.5M."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{number / size:#.3g}".rstrip(".") + unit
    return str(number)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """Return a table as Markdown; `align` has a letter a column, "l" or "r"."""
    rules = ["---:" if side == "r" else "---" for side in align]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (columns, rules, *rows))
