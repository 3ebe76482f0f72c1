"""`python -m nas.profile`: time networks on a device, for searches that aim at it from elsewhere."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nas import cli
from nas.config import ProfileSettings
from nas.errors import invalid
from nas.evaluation.design import balanced_networks
from nas.evaluation.device_profile import DeviceProfile, DeviceTimings, TimedNetwork
from nas.evaluation.step_features import StepShape
from nas.registry import get_space
from nas.spec import ArchSpec

if TYPE_CHECKING:
    import torch

Time = Callable[[ArchSpec], TimedNetwork]


def profile(settings: ProfileSettings) -> DeviceProfile:
    """Time a space's networks, or those that an interrupted call left, and write the device's file.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written then.
    """
    settings.check()
    space = get_space(settings.space)
    if settings.out.exists():
        raise invalid("out", "a new file", str(settings.out), "Choose another name, or remove the file.")
    specs = balanced_networks(space, settings.networks)

    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    from nas.evaluation.device import resolve_device

    device = resolve_device(settings.device)
    time, timings = make_timer(space.reference, settings, device)
    partial = settings.out.with_name(f"{settings.out.name}.partial")
    if partial.exists():
        timings = _resumed(partial, timings)
    # Everything has been checked: from here on things are written.
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    timings = _time_all(specs, timings, time, partial)
    found = DeviceProfile.fit(timings)
    found.save(settings.out)
    partial.unlink()
    return found


def make_timer(reference: ArchSpec, settings: ProfileSettings, device: "torch.device") -> tuple[Time, DeviceTimings]:
    """Return what times a network's training step as a search would, and what it times, without timings yet."""
    import torch

    from nas.evaluation.device import device_name
    from nas.evaluation.step_setup import StepSetup
    from nas.evaluation.step_time import StepTimer
    from nas.training.cpu import prepare_cpu
    from nas.training.recipe import Recipe

    if device.type == "cpu":
        prepare_cpu(num_threads=1)  # as a search's workers
    shape = StepShape(settings.batch_size, settings.num_classes, settings.in_channels, settings.image_size)
    timer = StepTimer(
        reference,
        StepSetup(shape.batch_size, shape.image_size, settings.dtype, mode=settings.mode),
        num_classes=shape.num_classes,
        in_channels=shape.in_channels,
        recipe=Recipe(),
        device=device,
    )

    def time(spec: ArchSpec) -> TimedNetwork:
        found = timer.measure(spec)
        return TimedNetwork(
            spec,
            step_time_s=found.step_time_s,
            step_time_spread_s=found.step_time_spread_s,
            relative_step_time=found.relative_step_time,
            relative_step_time_spread=found.relative_step_time_spread,
        )

    return time, DeviceTimings(
        device_name=device_name(device),
        torch_version=torch.__version__,
        dtype=timer.dtype,
        mode=settings.mode,
        shape=shape,
        reference=reference,
    )


def _resumed(partial: Path, wanted: DeviceTimings) -> DeviceTimings:
    """Return what an interrupted call timed, if it was about the same."""
    found = DeviceTimings.load(partial)
    if found.without_timings() != wanted:
        todo = f"Remove {partial} to begin again, or give another --out."
        raise invalid("device, space and step", "as when the profile was begun", str(partial), todo)
    return found


def _time_all(specs: Sequence[ArchSpec], timings: DeviceTimings, time: Time, partial: Path) -> DeviceTimings:
    """Time what is not timed yet; after each network `partial` holds all of them so far."""
    done = {timing.spec.arch_id for timing in timings.timings}
    missing = [spec for spec in specs if spec.arch_id not in done]
    with _progress() as bar:
        task = bar.add_task("", total=len(specs), completed=len(specs) - len(missing))
        for spec in missing:
            timings = timings.with_timing(time(spec))
            timings.save(partial)
            bar.advance(task)
    return timings


def _progress() -> Progress:
    return Progress(
        TextColumn("network"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def summary(found: DeviceProfile, path: Path) -> dict[str, Any]:
    """Return what `--json` prints: plain JSON types."""
    return {
        "profile": str(cli.short_path(path.resolve())),
        "device_name": found.measured.device_name,
        "num_networks": len(found.measured.timings),
        "timing_error_fraction": found.predictor.error,
    }


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    settings = cli.parse(ProfileSettings, "python -m nas.profile", args)
    console = cli.console(stderr=settings.json)
    try:
        found = profile(settings)
    except KeyboardInterrupt:
        console.print("Interrupted; the same command goes on.")
        return 130
    if settings.json:
        cli.print_json(summary(found, settings.out))
        return 0
    console.print(
        f"{len(found.measured.timings)} networks timed on {found.measured.device_name}; predicting one from the others "
        f"is off by {found.predictor.error:.1%} in the median."
    )
    console.print(f"Search with: python -m nas.search --target-device {cli.short_path(settings.out.resolve())}")
    return 0


if __name__ == "__main__":
    cli.run(main)
