"""`python -m nas.train`: train a network, found or published, with images and regularisation that may grow."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from nas import cli
from nas.assembly.trainings import Plan, make_plan, make_recipe, make_schedule
from nas.config import TrainSettings
from nas.errors import invalid
from nas.files import replace_file
from nas.models import load_arch
from nas.results.folder import RUN_LOCK, check_unused, default_run_name, locked, make_folder
from nas.results.training_manifest import TrainingManifest
from nas.spec import ArchSpec
from nas.training.launch import Launch
from nas.training.recipe import Recipe
from nas.training.schedule import REGULARISERS, ProgressiveSchedule

if TYPE_CHECKING:
    import torch

    from nas.data import Dataset
    from nas.models.builder import EfficientNet
    from nas.training.batches import TrainingBatches
    from nas.training.course import Epoch
    from nas.training.folder import TrainingFolder
    from nas.training.loop import Trainer
    from nas.training.team import Team
    from nas.training.validation import Validation

_PROG = "python -m nas.train"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Trained:
    """Attributes:
    folder: The files.
    validation: Of the weights at the end.
    test: Likewise, on the test split; None where the data set has none.
    """

    folder: "TrainingFolder"
    validation: "Validation"
    test: "Validation | None"


@dataclass(frozen=True, slots=True)
class _Task:
    """A training that could begin.

    Attributes:
        settings: Checked.
        spec: The network; its training size is that of the images that it is validated on.
        recipe: Its optimizer and so on.
        schedule: Its stages.
        device: Where it is trained.
        dataset: On the CPU, at the largest stage's size.
        path: Of its folder.
        launch: Which of its processes this is.
    """

    settings: TrainSettings
    spec: ArchSpec
    recipe: Recipe
    schedule: ProgressiveSchedule
    device: "torch.device"
    dataset: "Dataset"
    path: Path
    launch: Launch

    @property
    def what(self) -> str:
        """What a checkpoint says that it is of."""
        return f"{self.spec.arch_id} {self.dataset.fingerprint}"

    def plan(self) -> Plan:
        data = self.dataset
        counts = {"num_images": len(data.train), "num_classes": data.num_classes, "in_channels": data.in_channels}
        return make_plan(self.schedule, self.settings, self.spec, **counts)


def train(settings: TrainSettings, console: Console) -> Trained | None:
    """Train a network, or go on with a training, and write what `TrainingFolder` says.

    Under torchrun each process trains with its part of every batch; the first one alone writes, prints and validates,
    and the others return None.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written then.
        DivergedError: If the loss does not stay finite; the epochs before it are in the folder.
    """
    return _train(_prepare(settings), console)


def _prepare(settings: TrainSettings) -> _Task:
    """Check all that can be checked, cheap things first, and load the data."""
    settings.check()
    path, launch = _path(settings), Launch.here()
    launch.check_images("batch_size", settings.batch_size, settings.accumulate)
    if settings.compile and launch.size > 1:
        raise invalid("compile", "left out with several processes", True, "Their layers wait for each other.")
    if settings.resume is None:
        assert settings.arch is not None, "checked above"
        if launch.leads:  # Which may have begun to write already, where another process looks.
            check_unused(path, "out", passed_over=(RUN_LOCK,))
        spec = load_arch(settings.arch)
        if settings.image_size is not None:
            spec = replace(spec, train_image_size=settings.image_size)
    else:
        spec = ArchSpec.load(path / "arch.json")
    recipe = make_recipe(settings)
    recipe.rate(0, 1, settings.epochs)  # Raises where its warm-up is longer than the training.
    schedule = make_schedule(settings, spec)
    if settings.kind == "published":
        spec = replace(spec, train_image_size=schedule.stages[-1].image_size)

    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    from nas.data import load_dataset
    from nas.evaluation.device import resolve_own_device
    from nas.training.compiled import check_compiles
    from nas.training.tensorboard import check_tensorboard

    if settings.tensorboard:
        check_tensorboard()
    device = resolve_own_device(settings.device, launch)
    if settings.compile and not settings.plan:
        check_compiles(device)
    size = max(stage.image_size for stage in schedule)
    dataset = load_dataset(settings.data, image_size=size, val_images=settings.val_images, seed=settings.seed)
    launch.check_images("training images", len(dataset.train))
    return _Task(settings, spec, recipe, schedule, device, dataset, path, launch)


def _train(task: _Task, console: Console) -> Trained | None:
    import torch

    from nas.models import build_model
    from nas.training.cpu import prepare_cpu
    from nas.training.team import joined

    settings, device = task.settings, task.device
    prepare_cpu()
    num_processes = task.launch.size
    manifest = TrainingManifest.collect(settings.to_dict(), task.dataset.fingerprint, str(device), num_processes)
    if settings.resume is not None:
        TrainingManifest.load(task.path / _MANIFEST).check_compatible(manifest)
    torch.manual_seed(settings.seed)
    model = build_model(task.spec, task.dataset.num_classes, task.dataset.in_channels)
    with joined(task.launch, device) as team:
        if task.launch.leads:
            return _lead(task, model, team, manifest, console)
        _follow(task, model, team)
    return None


def _trainer(task: _Task, model: "EfficientNet", team: "Team | None") -> "Trainer":
    import torch

    from nas.training.compiled import CompiledTrainer
    from nas.training.loop import Trainer
    from nas.training.parallel import ParallelTrainer

    precision = task.settings.precision
    dtype = None if precision == "auto" else getattr(torch, precision)
    if team is not None:
        return ParallelTrainer(model, task.recipe, team, dtype=dtype)
    kind = CompiledTrainer if task.settings.compile else Trainer
    return kind(model, task.recipe, task.device, dtype=dtype)


def _lead(
    task: _Task, model: "EfficientNet", team: "Team | None", manifest: TrainingManifest, console: Console
) -> Trained:
    """Train, write and validate."""
    from nas.data import load_test
    from nas.training.folder import TrainingFolder
    from nas.training.loop import normaliser
    from nas.training.validation import validate

    settings, device, dataset, path = task.settings, task.device, task.dataset, task.path
    test_images = load_test(settings.data, image_size=dataset.image_size)
    # Everything has been checked: from here on things are written.
    make_folder(path, "out")
    with locked(path, "training"):
        if settings.resume is None:
            replace_file(path / _MANIFEST, manifest.to_json())
        folder = TrainingFolder(path, task.spec, dataset, model.options)
        console.print(_words(task))
        trained, validation = _run(task, _trainer(task, model, team), team, folder)
    normalise = normaliser(dataset, task.spec.train_image_size)
    test = validate(trained, test_images.to(device), normalise) if test_images else None
    return Trained(folder, validation, test)


def _follow(task: _Task, model: "EfficientNet", team: "Team | None") -> None:
    """Train beside the process that leads."""
    from nas.training.checkpoint import Checkpoint
    from nas.training.folder import CHECKPOINT
    from nas.training.parallel import run_together

    trainer = _trainer(task, model, team)
    batches = _batches(task, trainer, task.dataset.to(task.device))
    run_together(team, trainer, batches, None, Checkpoint(task.path / CHECKPOINT, task.what))


def _batches(task: _Task, trainer: "Trainer", dataset: "Dataset") -> "TrainingBatches":
    from nas.training.batches import TrainingBatches
    from nas.training.phases import make_phases

    phases = make_phases(task.schedule, task.settings.epochs, trainer.recipe, dataset)
    return TrainingBatches(dataset.train, phases, task.settings.seed)


def _run(
    task: _Task, trainer: "Trainer", team: "Team | None", folder: "TrainingFolder"
) -> "tuple[torch.nn.Module, Validation]":
    """Train, or go on; return the network that was validated last, and how it did."""
    from nas.training.checkpoint import Checkpoint
    from nas.training.course import Course
    from nas.training.loop import normaliser
    from nas.training.parallel import run_together
    from nas.training.progress import Effort, make_training_display
    from nas.training.tensorboard import FOLDER, Board

    settings, dataset = task.settings, task.dataset.to(task.device)
    batches = _batches(task, trainer, dataset)
    effort = Effort(tuple((stage.steps, stage.macs / stage.steps) for stage in task.plan().stages))
    with make_training_display(effort, settings.epochs) as display, ExitStack() as stack:
        board = None
        if settings.tensorboard or (folder.path / FOLDER).is_dir():
            board = stack.enter_context(closing(Board(folder.path / FOLDER)))

        def on_epoch(epoch: "Epoch", validated: "torch.nn.Module") -> None:
            folder.add(course.epochs, validated)
            display.epoch(epoch)
            if board is not None:
                board.add(epoch)

        course = Course(
            trainer,
            dataset,
            batches,
            normaliser(dataset, task.spec.train_image_size),
            on_step=display.step,
            on_epoch=on_epoch,
            patience=settings.patience,
        )
        checkpoint = Checkpoint(folder.checkpoint_path, task.what, course, every_s=settings.checkpoint_every)
        run_together(team, trainer, batches, course, checkpoint)
        trained, validation = course.last_validated()
        folder.finish(course.epochs[-1], trained)
        checkpoint.remove()
    return trained, validation


def _path(settings: TrainSettings) -> Path:
    if settings.resume is not None:
        return settings.resume.resolve()
    name = f"train-{Path(settings.arch or '').stem}"
    return (settings.out or Path("results") / default_run_name(name, settings.data)).resolve()


def _words(task: _Task) -> str:
    settings = task.settings
    verb = "Training" if settings.resume is None else "Going on with"
    sizes = ", ".join(str(stage.image_size) for stage in task.schedule)
    return f"{verb} {settings.arch} on {settings.data} at {sizes} pixels; results in {cli.short_path(task.path)}"


def _settings_of(folder: Path) -> TrainSettings:
    """Return the settings of a training that is to go on.

    Raises:
        InvalidInputError: If the folder holds none, or one that has ended.
    """
    if not (folder / _MANIFEST).is_file():
        raise invalid("resume", f"a folder with a {_MANIFEST}", str(folder), "Give the folder of a training.")
    if (folder / "weights.safetensors").exists():
        raise invalid("resume", "a training that was interrupted", str(folder), "This one has ended.")
    return TrainSettings.from_dict(TrainingManifest.load(folder / _MANIFEST).settings)


def summary(trained: Trained) -> dict[str, Any]:
    """Return what `--json` prints: plain JSON types."""
    found = {"validation": trained.validation, "test": trained.test}
    return {
        "folder": str(cli.short_path(trained.folder.path)),
        "weights": str(cli.short_path(trained.folder.weights_path)),
        **{
            name: None if one is None else {**asdict(one), "accuracy_stderr": one.accuracy_stderr}
            for name, one in found.items()
        },
    }


def report(trained: Trained, console: Console) -> None:
    """Print accuracies, and where the weights are."""
    for name, found in (("Validation", trained.validation), ("Test", trained.test)):
        if found is not None:
            images = f"{found.num_images:,} images"
            console.print(f"{name} accuracy {found.accuracy:.2%} ± {found.accuracy_stderr:.2%} ({images})")
    console.print(f"Weights in {cli.short_path(trained.folder.weights_path)}")


def _show_plan(plan: Plan, settings: TrainSettings, console: Console) -> None:
    if settings.json:
        cli.print_json(
            {
                "stages": [stage.to_dict() for stage in plan.stages],
                "steps": plan.steps,
                "relative_macs": plan.relative_macs,
            }
        )
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


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    settings = cli.parse(TrainSettings, _PROG, args)
    if settings.resume is not None:
        settings = cli.parse(TrainSettings, _PROG, args, default=_settings_of(settings.resume))
    console = cli.console(stderr=settings.json)
    if settings.plan:
        task = _prepare(settings)
        if task.launch.leads:
            _show_plan(task.plan(), settings, console)
        return 0
    trained = train(settings, console)
    if trained is None:
        return 0
    if settings.json:
        cli.print_json(summary(trained))
    else:
        report(trained, console)
    return 0


if __name__ == "__main__":
    cli.run(main)
