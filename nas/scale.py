"""`python -m nas.scale`: scale a network to larger sizes, or to the largest that a limit allows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from nas import cli
from nas.config import ScaleSettings
from nas.files import replace_file
from nas.models import load_arch
from nas.models.scaling import (
    Scaled,
    ScalingTarget,
    closed_form_cost,
    scale_family,
    scale_to,
    scale_to_measured,
)
from nas.results.folder import check_unused, default_run_name, make_folder
from nas.results.tables import FamilyMember, MemberTimes, family_markdown, family_members, family_table, stage_table
from nas.spec import ArchSpec

if TYPE_CHECKING:
    from nas.evaluation.step_time import StepTimer


@dataclass(frozen=True, slots=True)
class Scaling:
    """Attributes:
    folder: Where the files lie.
    members: The networks, smallest first; with a limit, "S" and "scaled".
    solved: How near to the limit; None without one.
    """

    folder: Path
    members: tuple[FamilyMember, ...]
    solved: Scaled | None


def scale(settings: ScaleSettings, console: Console) -> Scaling:
    """Scale a network and write a JSON file for each size, and family.md with what they cost.

    Raises:
        InvalidInputError: If something that was asked for cannot be used or reached; nothing has been written then.
    """
    settings.check()
    spec = load_arch(settings.arch)
    if settings.image_size is not None:
        spec = replace(spec, train_image_size=settings.image_size, eval_image_size=None)
    name = f"scale-{Path(settings.arch).stem}"
    path = (settings.out or Path("results") / default_run_name(name, "")).resolve()
    check_unused(path, "out")
    timer = _Timer(spec, settings)
    family, solved = _networks(spec, settings, timer, console)
    members = tuple(family_members(family, num_classes=settings.num_classes, in_channels=settings.in_channels))
    if settings.measure or settings.max_step_time is not None:
        members = tuple(replace(member, times=timer.measure(member.spec)) for member in members)
    make_folder(path, "out")
    for member in members:
        member.spec.save(path / f"{member.size}.json")
    replace_file(path / "family.md", family_markdown(members, title=f"{settings.arch}, scaled"))
    return Scaling(path, members, solved)


def _networks(
    spec: ArchSpec, settings: ScaleSettings, timer: "_Timer", console: Console
) -> tuple[dict[str, ArchSpec], Scaled | None]:
    """Return the networks by size, and how near the limit is, if there is one."""
    limits = (settings.max_params, settings.max_macs, settings.max_step_time)
    if limits == (None, None, None):
        return scale_family(spec, settings.sizes or ("S", "M", "L")), None
    target = ScalingTarget(*limits)
    cost = closed_form_cost(
        target.quantity,
        num_classes=settings.num_classes,
        in_channels=settings.in_channels,
        # Multiply-adds as in the table, at the validation size; steps are of the training size.
        image_size=spec.eval_image_size if target.quantity == "num_macs" else None,
    )
    if target.quantity != "relative_step_time":
        solved = scale_to(spec, target, cost=cost)
    else:

        def show(tried: ArchSpec, relative: float) -> None:
            console.print(f"Measured {relative:.2f} times the step time of S: {tried.summary}")

        def measure(each: ArchSpec) -> float:
            return timer.measure(each).relative_step_time

        solved = scale_to_measured(spec, target, measure=measure, surrogate=cost, on_measured=show)
    return {"S": replace(spec, name="S"), "scaled": solved.spec}, solved


EXACTNESS = 0.01
"""Half the interval of a ratio / the ratio, at which timing stops: well below the 3% that a limit is solved to."""


class _Timer:
    """Measures networks' step times in turn with that of `reference`. Torch is imported on first use."""

    def __init__(self, reference: ArchSpec, settings: ScaleSettings) -> None:
        self.reference, self.settings = reference, settings

    @cached_property
    def _timer(self) -> "StepTimer":
        from nas.evaluation.device import resolve_device
        from nas.evaluation.step_setup import StepSetup
        from nas.evaluation.step_time import StepTimer
        from nas.evaluation.timing_statistics import Effort
        from nas.training.cpu import prepare_cpu
        from nas.training.recipe import Recipe

        device = resolve_device(self.settings.device)
        if device.type == "cpu":
            prepare_cpu(num_threads=1)  # as in a search, whose step times these are compared with
        return StepTimer(
            self.reference,
            StepSetup(batch_size=self.settings.batch_size),
            num_classes=self.settings.num_classes,
            in_channels=self.settings.in_channels,
            recipe=Recipe(),
            device=device,
            effort=Effort(target=EXACTNESS),
        )

    def measure(self, spec: ArchSpec) -> MemberTimes:
        found = self._timer.measure(spec)
        return MemberTimes(
            found.step_time_s,
            found.step_time_spread_s,
            found.relative_step_time,
            found.relative_step_time_spread,
        )


def summary(scaling: Scaling) -> dict[str, Any]:
    """Return what `--json` prints: plain JSON types."""
    solved = scaling.solved
    return {
        "folder": str(cli.short_path(scaling.folder)),
        "family": {member.size: member.spec.to_dict() for member in scaling.members},
        "costs": {
            member.size: {
                "num_params": member.num_params,
                "num_macs": member.num_macs,
                **({} if member.times is None else asdict(member.times)),
            }
            for member in scaling.members
        },
        "limit": None if solved is None else {"target": solved.target, "achieved": solved.achieved},
    }


def report(scaling: Scaling, settings: ScaleSettings, console: Console) -> None:
    """Print the networks' stages and costs, and how near they are to a limit."""
    for member in scaling.members:
        console.print(stage_table(member.spec, member.size))
    console.print(family_table(scaling.members))
    console.print(f"Counted with --num-classes {settings.num_classes} --in-channels {settings.in_channels}.")
    if scaling.solved is not None:
        console.print(_nearness(scaling.solved))
    console.print(f"Specs in {cli.short_path(scaling.folder)}")


def _nearness(solved: Scaled) -> str:
    below = -solved.relative_error
    return f"Limit {solved.target:,.10g}, reached {solved.achieved:,.10g}: {below:.1%} below."


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    settings = cli.parse(ScaleSettings, "python -m nas.scale", args)
    console = cli.console(stderr=settings.json)
    scaling = scale(settings, console)
    if settings.json:
        cli.print_json(summary(scaling))
    else:
        report(scaling, settings, console)
    return 0


if __name__ == "__main__":
    cli.run(main)
