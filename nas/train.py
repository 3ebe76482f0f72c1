"""`python -m nas.train`: train a network, found or published, with images and regularisation that may grow."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from nas import cli
from nas.assembly.trainings import Plan, make_plan, make_recipe, make_schedule, network_again, show_plan
from nas.config import TrainSettings
from nas.errors import invalid
from nas.files import replace_file
from nas.models import load_arch
from nas.results.confusion import worst_words, write_confusion
from nas.results.disk import disk_errors
from nas.results.folder import RUN_LOCK, check_unused, default_run_name, locked, make_folder
from nas.results.training_manifest import TrainingManifest
from nas.spec import ArchSpec
from nas.training.recipe import Recipe
from nas.training.schedule import ProgressiveSchedule

if TYPE_CHECKING:
    import torch

    from nas.data import Dataset, Images
    from nas.training.course import Epoch
    from nas.training.folder import TrainingFolder
    from nas.training.loop import Trainer
    from nas.training.start import StartWeights
    from nas.training.validation import Validation

_PROG = "python -m nas.train"
_MANIFEST = "manifest.json"


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
        start: The weights that it starts from; None from scratch, and where it goes on.
    """

    settings: TrainSettings
    spec: ArchSpec
    recipe: Recipe
    schedule: ProgressiveSchedule
    device: "torch.device"
    dataset: "Dataset"
    path: Path
    start: "StartWeights | None"

    @property
    def what(self) -> str:
        """What a checkpoint says that it is of."""
        return f"{self.spec.arch_id} {self.dataset.fingerprint}"

    def plan(self) -> Plan:
        data = self.dataset
        counts = {"num_images": len(data.train), "num_classes": data.num_classes, "in_channels": data.in_channels}
        return make_plan(self.schedule, self.settings, self.spec, **counts)


def train(settings: TrainSettings, console: Console) -> Trained:
    """Train a network, or go on with a training, and write what `TrainingFolder` says.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written then.
        DivergedError: If the loss does not stay finite; the epochs before it are in the folder.
        DiskError: If the disk of the folder is full or fails; what was written before is whole.
    """
    return _train(_prepare(settings), console)


def _prepare(settings: TrainSettings) -> _Task:
    """Check all that can be checked, cheap things first, and load the data."""
    settings.check()
    path = _path(settings)
    if settings.resume is None:
        assert settings.arch is not None, "checked above"
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
    from nas.evaluation.device import resolve_device
    from nas.training.start import StartWeights

    device = resolve_device(settings.device)
    fresh = settings.weights if settings.resume is None else None
    start = None if fresh is None else StartWeights.read(fresh, spec)
    size = max(stage.image_size for stage in schedule)
    dataset = load_dataset(
        settings.data,
        image_size=size,
        val_images=settings.val_images,
        seed=settings.seed,
        loader=settings.loader,
        num_workers=settings.num_workers,
    )
    return _Task(settings, spec, recipe, schedule, device, dataset, path, start)


def _train(task: _Task, console: Console) -> Trained:
    from nas.data import load_test
    from nas.data.streamed import lost_workers_told, warn_of_skipped
    from nas.training.cpu import prepare_cpu
    from nas.training.folder import CHECKPOINT, TrainingFolder
    from nas.training.loop import Trainer
    from nas.training.start import make_network

    settings, device, dataset, path = task.settings, task.device, task.dataset, task.path
    prepare_cpu()
    test_images = load_test(
        settings.data,
        image_size=dataset.image_size,
        loader=settings.loader,
        num_workers=settings.num_workers,
        channels=dataset.in_channels,
    )
    start = None if task.start is None else task.start.to_dict()
    manifest = TrainingManifest.collect(settings.to_dict(), dataset.fingerprint, str(device), start)
    if settings.resume is None:
        model, said = make_network(task.spec, dataset, settings.seed, task.start)
    else:
        kept = TrainingManifest.load(path / _MANIFEST)
        kept.check_compatible(manifest)
        model, said = network_again(task.spec, dataset, settings.seed, kept.start, path / CHECKPOINT, task.what)
    # Everything has been checked: from here on things are written.
    make_folder(path, "out")
    with disk_errors(path, "Make room, or choose another folder."), locked(path, "training"):
        if settings.resume is None:
            replace_file(path / _MANIFEST, manifest.to_json())
        folder = TrainingFolder(path, task.spec, dataset, model.options)
        console.print(_words(task))
        if said is not None:
            console.print(said, markup=False, highlight=False, soft_wrap=True)
        trainer = Trainer(model, task.recipe, device)
        with lost_workers_told(), disk_errors(path, _after_a_full_disk(path)):
            trained, validation = _run(task, trainer, dataset.to(device), folder)
    with lost_workers_told():
        judged = _judged(task, folder, trained, validation, test_images)
    warn_of_skipped(dataset.train, dataset.val, test_images)
    return judged


def _judged(
    task: _Task, folder: "TrainingFolder", model: "torch.nn.Module", validation: "Validation", test: "Images | None"
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


def _after_a_full_disk(path: Path) -> str:
    return f"What was kept is whole: make room, then go on with --resume {cli.short_path(path)}."


def _run(
    task: _Task, trainer: "Trainer", dataset: "Dataset", folder: "TrainingFolder"
) -> "tuple[torch.nn.Module, Validation]":
    """Train, or go on; return the network that was validated last, and how it did."""
    from nas.training.batches import TrainingBatches
    from nas.training.checkpoint import Checkpoint
    from nas.training.course import Course
    from nas.training.loop import normaliser, run
    from nas.training.phases import make_phases
    from nas.training.progress import make_training_display

    settings, spec = task.settings, task.spec
    phases = make_phases(task.schedule, settings.epochs, trainer.recipe, dataset)
    batches = TrainingBatches(dataset.train, phases, settings.seed)
    with make_training_display(batches.total, settings.epochs) as display:

        def on_epoch(epoch: "Epoch", validated: "torch.nn.Module") -> None:
            folder.add(course.epochs, validated)
            display.epoch(epoch)

        course = Course(
            trainer,
            dataset,
            batches,
            normaliser(dataset, spec.train_image_size),
            on_step=display.step,
            on_epoch=on_epoch,
            patience=settings.patience,
        )
        checkpoint = Checkpoint(folder.checkpoint_path, task.what, course, every_s=settings.checkpoint_every)
        with closing(batches):
            run(trainer, batches, course, keeper=checkpoint)
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
    words = f"{verb} {settings.arch} on {settings.data} at {sizes} pixels; results in {cli.short_path(task.path)}"
    if not task.dataset.streamed:
        return words
    num_images = f"{len(task.dataset.train):,}"
    return f"{words}\nAll {num_images} training images are decoded while it trains, not held in memory (--loader)"


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
        **{name: None if one is None else one.to_dict() for name, one in found.items()},
    }


def report(trained: Trained, console: Console) -> None:
    """Print accuracies, the classes that are recognised least, and where the weights are."""
    for name, found in (("Validation", trained.validation), ("Test", trained.test)):
        if found is not None:
            images = f"{found.num_images:,} images"
            console.print(f"{name} accuracy {found.accuracy:.2%} ± {found.accuracy_stderr:.2%} ({images})")
    if trained.worst is not None:
        console.print(trained.worst, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Weights in {cli.short_path(trained.folder.weights_path)}")


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    settings = cli.parse(TrainSettings, _PROG, args)
    if settings.resume is not None:
        settings = cli.parse(TrainSettings, _PROG, args, default=_settings_of(settings.resume))
    console = cli.console(stderr=settings.json)
    if settings.plan:
        show_plan(_prepare(settings).plan(), settings, console)
        return 0
    trained = train(settings, console)
    if settings.json:
        cli.print_json(summary(trained))
    else:
        report(trained, console)
    return 0


if __name__ == "__main__":
    cli.run(main)
