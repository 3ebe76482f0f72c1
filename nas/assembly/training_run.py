"""A training from its first step to its last: by one process, or by several of which the first leads."""

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from nas import cli
from nas.assembly.trainings import Plan, make_plan
from nas.config import TrainSettings
from nas.files import replace_file
from nas.results.confusion import worst_words, write_confusion
from nas.results.disk import disk_errors
from nas.results.folder import locked, make_folder
from nas.results.training_manifest import MANIFEST, TrainingManifest
from nas.spec import ArchSpec
from nas.training.launch import Launch
from nas.training.recipe import Recipe
from nas.training.schedule import ProgressiveSchedule

if TYPE_CHECKING:
    import torch

    from nas.data import Dataset, Images
    from nas.models import EfficientNet
    from nas.training.batches import TrainingBatches
    from nas.training.course import Epoch
    from nas.training.folder import TrainingFolder
    from nas.training.loop import Trainer
    from nas.training.start import StartWeights
    from nas.training.team import Team
    from nas.training.validation import Validation


@dataclass(frozen=True, slots=True)
class Trained:
    """Attributes:
    folder: The files.
    validation: Of the weights at the end.
    test: Likewise, on the test split; None where the data set has none.
    worst: In words, which classes are recognised least; None where that is too many classes to tell, or all are.
    """

    folder: "TrainingFolder"
    validation: "Validation"
    test: "Validation | None"
    worst: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A training that could begin.

    Attributes:
        settings: Checked.
        spec: The network; its training size is that of the images that it is validated on.
        recipe: Its optimizer and so on.
        schedule: Its stages.
        device: Where it is trained.
        dataset: On the CPU, at the largest stage's size.
        path: Of its folder.
        start: The weights that it starts from; None from scratch, and where it goes on.
        launch: Which of its processes this is.
    """

    settings: TrainSettings
    spec: ArchSpec
    recipe: Recipe
    schedule: ProgressiveSchedule
    device: "torch.device"
    dataset: "Dataset"
    path: Path
    start: "StartWeights | None"
    launch: Launch

    @property
    def what(self) -> str:
        """What a checkpoint says that it is of."""
        return f"{self.spec.arch_id} {self.dataset.fingerprint}"

    def plan(self) -> Plan:
        data = self.dataset
        counts = {"num_images": len(data.train), "num_classes": data.num_classes, "in_channels": data.in_channels}
        return make_plan(self.schedule, self.settings, self.spec, **counts)


def lead(
    task: Task,
    model: "EfficientNet",
    said: str | None,
    team: "Team | None",
    manifest: TrainingManifest,
    console: Console,
) -> Trained:
    """Train, write and validate.

    Args:
        task: What to train.
        model: Built, on the CPU.
        said: A line about what it starts from, if there is anything to say.
        team: The processes that train together; None for this one alone.
        manifest: Written, unless the training goes on.
        console: For what there is to say.
    """
    from nas.data import load_test
    from nas.data.streamed import lost_workers_told, warn_of_skipped
    from nas.training.folder import TrainingFolder

    settings, dataset, path = task.settings, task.dataset, task.path
    test_images = load_test(
        settings.data,
        image_size=dataset.image_size,
        loader=settings.loader,
        num_workers=settings.num_workers,
        channels=dataset.in_channels,
    )
    # Everything has been checked: from here on things are written.
    make_folder(path, "out")
    with disk_errors(path, "Make room, or choose another folder."), locked(path, "training"):
        if settings.resume is None:
            replace_file(path / MANIFEST, manifest.to_json())
        folder = TrainingFolder(path, task.spec, dataset, model.options)
        console.print(_words(task))
        if said is not None:
            console.print(said, markup=False, highlight=False, soft_wrap=True)
        todo = f"What was kept is whole: make room, then go on with --resume {cli.short_path(path)}."
        with lost_workers_told(), disk_errors(path, todo):
            trained, validation = _run(task, _trainer(task, model, team), team, folder)
    with lost_workers_told():
        judged = _judged(task, folder, trained, validation, test_images)
    warn_of_skipped(dataset.train, dataset.val, test_images)
    return judged


def follow(task: Task, model: "EfficientNet", team: "Team | None") -> None:
    """Train beside the process that leads."""
    from nas.data.streamed import lost_workers_told
    from nas.training.checkpoint import Checkpoint
    from nas.training.folder import CHECKPOINT
    from nas.training.parallel import run_together

    trainer = _trainer(task, model, team)
    checkpoint = Checkpoint(task.path / CHECKPOINT, task.what)
    with lost_workers_told(), closing(_batches(task, trainer, task.dataset.to(task.device))) as batches:
        run_together(team, trainer, batches, None, checkpoint)


def _trainer(task: Task, model: "EfficientNet", team: "Team | None") -> "Trainer":
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


def _batches(task: Task, trainer: "Trainer", dataset: "Dataset") -> "TrainingBatches":
    from nas.training.batches import TrainingBatches
    from nas.training.phases import make_phases

    phases = make_phases(task.schedule, task.settings.epochs, trainer.recipe, dataset)
    return TrainingBatches(dataset.train, phases, task.settings.seed)


def _run(
    task: Task, trainer: "Trainer", team: "Team | None", folder: "TrainingFolder"
) -> "tuple[torch.nn.Module, Validation]":
    """Train, or go on; return the network that was validated last, and how it did."""
    from nas.training.checkpoint import Checkpoint
    from nas.training.course import Course
    from nas.training.loop import normaliser
    from nas.training.parallel import run_together
    from nas.training.progress import Effort, make_training_display
    from nas.training.tensorboard import FOLDER, Board

    settings, dataset = task.settings, task.dataset.to(task.device)
    effort = Effort(tuple((stage.steps, stage.macs / stage.steps) for stage in task.plan().stages))
    with ExitStack() as stack:
        display = stack.enter_context(make_training_display(effort, settings.epochs))
        batches = stack.enter_context(closing(_batches(task, trainer, dataset)))
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


def _judged(
    task: Task, folder: "TrainingFolder", model: "torch.nn.Module", validation: "Validation", test: "Images | None"
) -> Trained:
    """Look at a trained network class by class, on the test split where there is one, and write what is found."""
    from nas.training.loop import normaliser
    from nas.training.validation import judge

    dataset, images = task.dataset, test or task.dataset.val
    normalise = normaliser(dataset, task.spec.train_image_size)
    found = judge(model, images.to(task.device), normalise, dataset.num_classes)
    with disk_errors(task.path, "The weights are whole: make room, then python -m nas.evaluate writes these tables."):
        write_confusion(task.path, found.confusion, dataset.class_names)
    worst = worst_words(found.confusion, dataset.class_names)
    return Trained(folder, validation, found.validation if test else None, worst)


def _words(task: Task) -> str:
    settings = task.settings
    verb = "Training" if settings.resume is None else "Going on with"
    sizes = ", ".join(str(stage.image_size) for stage in task.schedule)
    words = f"{verb} {settings.arch} on {settings.data} at {sizes} pixels; results in {cli.short_path(task.path)}"
    if not task.dataset.streamed:
        return words
    num_images = f"{len(task.dataset.train):,}"
    return f"{words}\nAll {num_images} training images are decoded while it trains, not held in memory (--loader)"
