"""`python -m nas.measure`: step time, parameters, multiply-adds and memory of networks, without any training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from nas import cli
from nas.config import MeasureSettings
from nas.files import replace_file
from nas.models.tables import short_count
from nas.results.records import records

if TYPE_CHECKING:
    import torch

    from nas.evaluation.step_time import StepTimer
    from nas.evaluation.timed_step import Network

EXACTNESS = 0.02
"""Half the interval of a ratio / the ratio, at which timing stops: finer than in a search, where many are timed."""


def measure(settings: MeasureSettings, console: Console) -> pd.DataFrame:
    """Measure networks and write the file that was asked for.

    Returns:
        A row for each network, in the order asked for. Columns: `network`; all of `StepTime`; `num_params`, `num_macs`
        (of one forward pass of one image); `device`, `device_name`, `dtype`, `num_threads`, `torch_version`.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been measured or written then.
    """
    settings.check()
    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    from nas.evaluation.device import resolve_device
    from nas.evaluation.networks import find_network
    from nas.evaluation.step_setup import StepSetup
    from nas.evaluation.step_time import StepTimer
    from nas.evaluation.timing_statistics import Effort
    from nas.training.cpu import prepare_cpu
    from nas.training.recipe import Recipe

    setup = StepSetup(
        batch_size=settings.batch_size,
        image_size=settings.image_size,
        dtype=settings.dtype,
        memory_format=settings.memory_format,
        mode=settings.mode,
        kind="inference" if settings.inference else "training",
    )
    device = resolve_device(settings.device)
    networks = [find_network(name) for name in settings.archs]
    counts = [_counts(network, settings) for network in networks]
    prepare_cpu(settings.threads)
    timer = StepTimer(
        networks[0],
        setup,
        num_classes=settings.num_classes,
        in_channels=settings.in_channels,
        recipe=Recipe(),
        device=device,
        effort=Effort(target=EXACTNESS),
    )
    frame = pd.DataFrame(_rows(networks, counts, timer, device, console))
    if settings.csv is not None:
        replace_file(settings.csv, frame.to_csv(index=False, lineterminator="\n"))
    return frame


def _counts(network: "Network", settings: MeasureSettings) -> dict[str, int]:
    """Count parameters and multiply-adds; this also finds out that a network cannot be built, before any timing."""
    import torch

    from nas.evaluation.complexity import count_macs, count_params

    model = network.build(settings.num_classes, settings.in_channels)
    size = settings.image_size or network.image_size
    image = torch.zeros(1, settings.in_channels, size, size)
    return {"num_params": count_params(model), "num_macs": count_macs(model, image)}


def _rows(
    networks: "Sequence[Network]",
    counts: Sequence[dict[str, int]],
    timer: "StepTimer",
    device: "torch.device",
    console: Console,
) -> list[dict[str, Any]]:
    import torch

    from nas.evaluation.device import device_name

    conditions = {
        "device": str(device),
        "device_name": device_name(device),
        "dtype": timer.dtype,
        "num_threads": torch.get_num_threads(),
        "torch_version": torch.__version__,
    }
    rows = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        for number, (network, count) in enumerate(zip(networks, counts, strict=True), start=1):
            task = progress.add_task(f"Timing {network.label} ({number} of {len(networks)})")
            rows.append({"network": network.label, **timer.measure(network).to_dict(), **count, **conditions})
            progress.remove_task(task)
    return rows


def measured_table(frame: pd.DataFrame, kind: str) -> Table:
    """Return what `measure` found for a terminal; times are medians with 95% intervals."""
    table = Table(title=f"{kind} on {frame['device_name'][0]}, {frame['dtype'][0]}")
    table.add_column("Network")
    for name in ("Step (ms)", "Relative", "Params", "MACs", "Memory", "Images"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in frame.to_dict("records"):
        low, high = row["relative_step_time_low"], row["relative_step_time_high"]
        fast, slow = row["step_time_low_s"], row["step_time_high_s"]
        peak = row["peak_memory_bytes"]
        table.add_row(
            row["network"],
            f"{row['step_time_s'] * 1e3:.4g} ({fast * 1e3:.4g} to {slow * 1e3:.4g})",
            f"{row['relative_step_time']:.3f} ({low:.3f} to {high:.3f})",
            short_count(row["num_params"]),
            short_count(row["num_macs"]),
            "-" if pd.isna(peak) else f"{short_count(int(peak))}B",
            f"{row['step_batch_size']} x {row['step_image_size']} px",
        )
    return table


def report(frame: pd.DataFrame, kind: str, console: Console) -> None:
    """Print the table, and what to know about it."""
    console.print(measured_table(frame, kind))
    if frame["step_batch_reduced"].any():
        console.print(
            "Where a batch did not fit into memory, a smaller one was timed, as was the first network's for it."
        )
    if not frame["timing_target_met"].all():
        console.print(f"Not every ratio came to be known to {EXACTNESS:.0%}; a machine without other work gives that.")


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    settings = cli.parse(MeasureSettings, "python -m nas.measure", args)
    console = cli.console(stderr=settings.json)
    frame = measure(settings, console)
    if settings.json:
        cli.print_json({"networks": records(frame)})
    else:
        report(frame, "Inference step" if settings.inference else "Training step", console)
    return 0


if __name__ == "__main__":
    cli.run(main)
