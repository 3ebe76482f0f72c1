"""`python -m nas.train`: train a network, found or published, at one image size."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from nas import cli
from nas.config import TrainSettings
from nas.errors import invalid
from nas.files import replace_file
from nas.models import load_arch
from nas.results.folder import RUN_LOCK, check_unused, default_run_name, locked, make_folder
from nas.results.training_manifest import TrainingManifest
from nas.spec import ArchSpec

if TYPE_CHECKING:
    from nas.training.course import Epoch
    from nas.training.folder import TrainingFolder
    from nas.training.validation import Validation

_PROG = "python -m nas.train"
MANIFEST = "manifest.json"


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


def train(settings: TrainSettings, console: Console) -> Trained:
    """Train a network, or go on with a training, and write what `TrainingFolder` says.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written then.
        DivergedError: If the loss does not stay finite; the epochs before it are in the folder.
    """
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
    _check_stride(spec)
    return _train(settings, spec, path, console)


def _train(settings: TrainSettings, spec: ArchSpec, path: Path, console: Console) -> Trained:
    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    import torch

    from nas.data import load_dataset, load_test
    from nas.evaluation.device import resolve_device
    from nas.models import build_model
    from nas.training.batches import TrainingBatches
    from nas.training.checkpoint import Checkpoint
    from nas.training.course import Course
    from nas.training.cpu import prepare_cpu
    from nas.training.folder import TrainingFolder
    from nas.training.loop import Trainer, normaliser, one_phase, run
    from nas.training.progress import make_training_display
    from nas.training.recipe import Recipe
    from nas.training.validation import validate

    recipe = Recipe(
        learning_rate=settings.learning_rate, batch_size=settings.batch_size, weight_decay=settings.weight_decay
    )
    device = resolve_device(settings.device)
    prepare_cpu()
    size = spec.train_image_size
    dataset = load_dataset(settings.data, image_size=size, val_images=settings.val_images, seed=settings.seed)
    test_images = load_test(settings.data, image_size=size)
    manifest = TrainingManifest.collect(settings.to_dict(), dataset.fingerprint, str(device))
    if settings.resume is not None:
        TrainingManifest.load(path / MANIFEST).check_compatible(manifest)
    torch.manual_seed(settings.seed)
    model = build_model(spec, dataset.num_classes, dataset.in_channels)
    # Everything has been checked: from here on things are written.
    make_folder(path, "out")
    with locked(path, "training"):
        if settings.resume is None:
            replace_file(path / MANIFEST, manifest.to_json())
        folder = TrainingFolder(path, spec, dataset, model.options)
        verb = "Training" if settings.resume is None else "Going on with"
        console.print(f"{verb} {settings.arch} on {settings.data} at {size} pixels; results in {cli.short_path(path)}")
        trainer, dataset = Trainer(model, recipe, device), dataset.to(device)
        normalise = normaliser(dataset)
        batches = TrainingBatches(dataset.train, one_phase(recipe, settings.epochs, normalise), settings.seed)
        with make_training_display(batches.total, settings.epochs) as display:

            def on_epoch(epoch: "Epoch", validated: torch.nn.Module) -> None:
                folder.add(course.epochs, validated)
                display.epoch(epoch)

            course = Course(
                trainer,
                dataset,
                batches,
                normalise,
                on_step=display.step,
                on_epoch=on_epoch,
                patience=settings.patience,
            )
            what = f"{spec.arch_id} {dataset.fingerprint}"
            checkpoint = Checkpoint(folder.checkpoint_path, what, course, every_s=settings.checkpoint_every)
            run(trainer, batches, course, keeper=checkpoint)
        trained, validation = course.last_validated()
        folder.finish(course.epochs[-1], trained)
        checkpoint.remove()
    test = validate(trained, test_images.to(device), normalise) if test_images else None
    return Trained(folder, validation, test)


def _path(settings: TrainSettings) -> Path:
    if settings.resume is not None:
        return settings.resume.resolve()
    name = f"train-{Path(settings.arch or '').stem}"
    return (settings.out or Path("results") / default_run_name(name, settings.data)).resolve()


def _settings_of(folder: Path) -> TrainSettings:
    """Return the settings of a training that is to go on.

    Raises:
        InvalidInputError: If the folder holds none, or one that has ended.
    """
    if not (folder / MANIFEST).is_file():
        raise invalid("resume", f"a folder with a {MANIFEST}", str(folder), "Give the folder of a training.")
    if (folder / "weights.safetensors").exists():
        raise invalid("resume", "a training that was interrupted", str(folder), "This one has ended.")
    return TrainSettings.from_dict(TrainingManifest.load(folder / MANIFEST).settings)


def _check_stride(spec: ArchSpec) -> None:
    """Refuse images so small that some strided stage would see a single pixel."""
    if spec.train_image_size < spec.total_stride:
        rule = f"at least {spec.total_stride}, by which this network divides its images' sides"
        raise invalid("image_size", rule, spec.train_image_size, "Give a larger --image-size.")


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


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    settings = cli.parse(TrainSettings, _PROG, args)
    if settings.resume is not None:
        settings = cli.parse(TrainSettings, _PROG, args, default=_settings_of(settings.resume))
    console = cli.console(stderr=settings.json)
    trained = train(settings, console)
    if settings.json:
        cli.print_json(summary(trained))
    else:
        report(trained, console)
    return 0


if __name__ == "__main__":
    cli.run(main)
