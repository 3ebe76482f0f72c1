"""A network to read: the `ArchSpec` as JSON, which every verb takes back, and a stage table as Markdown."""

import json

from nas.complexity import complexity_by_stage
from nas.models.export.network import Network
from nas.models.tables import STAGE_COLUMNS, markdown_table, short_count, stage_rows

_COLUMNS = (*STAGE_COLUMNS, "Output size", "Params", "MACs")


def json_file(network: Network) -> str:
    """Return what `ArchSpec.save` writes; `ArchSpec.load` reads it."""
    return json.dumps(network.spec.to_dict(), indent=2) + "\n"


def markdown_file(network: Network) -> str:
    """Return a page with a row a stage, in the layout of the paper's Table 4, and what each stage costs."""
    spec, size = network.spec, network.image_size
    costs = complexity_by_stage(spec, num_classes=network.num_classes, in_channels=network.in_channels, image_size=size)
    rows = [
        (*row, f"{cost.size}x{cost.size}", short_count(cost.num_params), short_count(cost.num_macs))
        for row, cost in zip(stage_rows(spec), costs, strict=True)
    ]
    num_params = sum(cost.num_params for cost in costs)
    num_macs = sum(cost.num_macs for cost in costs)
    total = ("", "All", "", "", str(spec.num_blocks), "", short_count(num_params), short_count(num_macs))
    parts = [
        f"# {_one_line(spec.name) or spec.summary}",
        markdown_table(_COLUMNS, [*rows, total], "llrrrrrr"),
        f"For images of {network.in_channels}x{size}x{size} and {network.num_classes:,} classes: {num_params:,} "
        f"parameters, {num_macs:,} multiply-adds of one forward pass. Dropout {spec.dropout:g}, stochastic depth "
        f"{spec.stochastic_depth:g}. Architecture `{spec.arch_id}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _one_line(name: str) -> str:
    """Return a name as plain text of one Markdown line, whatever characters it holds."""
    shown = "".join(char if char.isprintable() else " " for char in name)
    return " ".join("".join(f"\\{char}" if char in "\\`*[]<>#|!&" else char for char in shown).split())
