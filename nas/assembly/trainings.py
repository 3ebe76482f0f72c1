"""What a training is put together from: its recipe, its schedule, and what that is expected to cost."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from nas import cli
from nas.complexity import complexity
from nas.config import TrainSettings
from nas.errors import invalid
from nas.spec import ArchSpec
from nas.training.recipe import Recipe, get_recipe, steps_an_epoch
from nas.training.schedule import REGULARISERS, ProgressiveSchedule, Range, Stage

if TYPE_CHECKING:
    from nas.data import Dataset
    from nas.models import EfficientNet

_DROPOUT_FACTORS = (0.5, 1.5)
"""Of the architecture's: for EfficientNetV2-S, built with 0.2, these are the 0.1 and 0.3 of Table 6."""


def make_recipe(settings: TrainSettings) -> Recipe:
    """Return the recipe that settings ask for; raise InvalidInputError where they do not fit together."""
    if settings.recipe == "default":
        # The largest images come last: results/progressive says what a rate that has fallen by then costs.
        grows = settings.kind in ("progressive", "published")
        recipe = Recipe(batch_size=settings.batch_size, decay="trapezoid" if grows else "cosine")
    else:
        recipe = get_recipe(settings.recipe, batch_size=settings.batch_size)
    given = {
        "learning_rate": settings.learning_rate,
        "decay": settings.decay,
        "weight_decay": settings.weight_decay,
        "ema_decay": settings.ema,
        "clip_grad_norm": settings.clip_grad_norm,
        "crop_area": settings.crop_area,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return replace(recipe, accumulate=settings.accumulate, **given)  # type: ignore[arg-type]


def make_schedule(settings: TrainSettings, spec: ArchSpec) -> ProgressiveSchedule:
    """Return the stages that settings ask for.

    Args:
        settings: Checked.
        spec: The network; its training size is the last stage's, unless the schedule is a published one.

    Raises:
        InvalidInputError: If a value is out of range, a size too small for the network, or stages outnumber epochs.
    """
    schedule = _schedule(settings, spec)
    smallest = min(stage.image_size for stage in schedule)
    if smallest < spec.total_stride:
        rule = f"at least {spec.total_stride}, by which this network divides its images' sides"
        raise invalid("image_size", rule, smallest, "Give a larger --image-size, or --first-image-size.")
    if settings.max_batch_size is not None:
        schedule = schedule.with_batch_sizes(settings.batch_size, largest=settings.max_batch_size)
    schedule.num_epochs(settings.epochs)  # Raises where there are too few.
    return schedule


def _schedule(settings: TrainSettings, spec: ArchSpec) -> ProgressiveSchedule:
    size, ranges = spec.train_image_size, settings.ranges()
    if settings.kind == "published":
        variant, _, name = settings.schedule.rpartition(":")
        return ProgressiveSchedule.preset(name, variant=variant or "paper", num_stages=settings.stages)
    if settings.kind == "fixed":
        return ProgressiveSchedule.fixed(size, **{name: last for name, (_, last) in ranges.items()})
    first, last = _DROPOUT_FACTORS
    regularisers: dict[str, Range] = {"dropout": (first * spec.dropout, min(0.9, last * spec.dropout)), **ranges}
    if settings.kind == "progressive":
        options: dict[str, Any] = {**regularisers, "first_image_size": settings.first_image_size}
        return ProgressiveSchedule.scaled(size, num_stages=settings.stages, **options)
    smallest = settings.first_image_size or ProgressiveSchedule.scaled(size).stages[0].image_size
    if smallest > size:
        raise invalid("first_image_size", f"at most {size}", smallest, "It is the smallest size that is drawn.")
    return ProgressiveSchedule.random_resize(
        (smallest, size), num_stages=settings.stages, seed=settings.seed, size_multiple=4, **regularisers
    )


def network_again(
    spec: ArchSpec, dataset: "Dataset", seed: int, kept: Mapping[str, Any] | None, checkpoint: Path, what: str
) -> "tuple[EfficientNet, str | None]":
    """Build the network of a training that goes on; see `make_network`.

    Args:
        spec: The network.
        dataset: What it is trained on.
        seed: Of its initialisation.
        kept: What the manifest says of the weights that it started from; they are read only where no checkpoint holds
            what has become of them.
        checkpoint: The file.
        what: That it must be of.

    Raises:
        InvalidInputError: If the weights are needed, and cannot be read or are others by now.
    """
    from nas.models import BuildOptions
    from nas.training.checkpoint import is_kept
    from nas.training.start import StartWeights, make_network

    if kept is not None and not is_kept(checkpoint, what):
        return make_network(spec, dataset, seed, StartWeights.read_again(kept, spec))
    return make_network(spec, dataset, seed, None, None if kept is None else BuildOptions.from_dict(kept["options"]))


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """Attributes:
    stage: As the schedule has it.
    epochs: Passes over the training images.
    batch_size: Images in a step.
    steps: In all.
    macs: Multiply-adds of the forward passes of all its images; a training step takes about three times as many.
    """

    stage: Stage
    epochs: int
    batch_size: int
    steps: int
    macs: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: a flat row."""
        return {
            **asdict(self.stage),
            **{name: getattr(self, name) for name in ("epochs", "batch_size", "steps", "macs")},
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training will do.

    Attributes:
        stages: One after the other.
        relative_macs: Multiply-adds in all, as a share of those with the largest images all along; lower is cheaper.
    """

    stages: tuple[PlannedStage, ...]
    relative_macs: float

    @property
    def steps(self) -> int:
        return sum(planned.steps for planned in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        stages = [planned.to_dict() for planned in self.stages]
        return {"stages": stages, "steps": self.steps, "relative_macs": self.relative_macs}


def make_plan(
    schedule: ProgressiveSchedule,
    settings: TrainSettings,
    spec: ArchSpec,
    *,
    num_images: int,
    num_classes: int,
    in_channels: int,
) -> Plan:
    """Return what a training on a data set will do; multiply-adds are counted in closed form."""

    def macs(size: int) -> int:
        return complexity(spec, num_classes=num_classes, in_channels=in_channels, image_size=size).num_macs

    def stages() -> Iterator[PlannedStage]:
        for stage, epochs in zip(schedule, schedule.num_epochs(settings.epochs), strict=True):
            batch_size = stage.batch_size or settings.batch_size
            steps = epochs * steps_an_epoch(num_images, batch_size)
            seen = steps * min(batch_size, num_images)
            yield PlannedStage(stage, epochs, batch_size, steps, seen * macs(stage.image_size))

    planned = tuple(stages())
    largest = macs(max(stage.image_size for stage in schedule))
    seen = sum(each.steps * min(each.batch_size, num_images) for each in planned)
    return Plan(planned, sum(each.macs for each in planned) / (seen * largest))


def show_plan(plan: Plan, settings: TrainSettings, console: Console) -> None:
    """Print the stages and what they cost, as a table or as JSON."""
    if settings.json:
        cli.print_json(plan.to_dict())
        return
    used = [name for name in REGULARISERS if any(getattr(each.stage, name) for each in plan.stages)]
    table = Table("stage", "epochs", "image size", "batch", "steps", *(name.replace("_", " ") for name in used))
    for number, each in enumerate(plan.stages, start=1):
        counts = (number, each.epochs, each.stage.image_size, each.batch_size, each.steps)
        values = (getattr(each.stage, name) for name in used)
        table.add_row(*map(str, counts), *("built" if value is None else f"{value:.3g}" for value in values))
    console.print(table)
    share = f"{plan.relative_macs:.0%} of the multiply-adds that the largest images would take all along"
    console.print(f"{plan.steps:,} steps, {share}")
