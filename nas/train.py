"""`python -m nas.train`: train a network, found or published, with images and regularisation that may grow."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nas import cli
from nas.assembly.training_run import Task, Trained, follow, lead
from nas.assembly.trainings import make_recipe, make_schedule, network_again, show_plan
from nas.config import TrainSettings
from nas.errors import invalid
from nas.models import load_arch
from nas.results.folder import RUN_LOCK, check_unused, default_run_name
from nas.results.training_manifest import MANIFEST, TrainingManifest
from nas.spec import ArchSpec
from nas.training.launch import Launch

_PROG = "python -m nas.train"


def train(settings: TrainSettings, console: Console) -> Trained | None:
    """Train a network, or go on with a training, and write what `TrainingFolder` says.

    Under torchrun each process trains with its part of every batch; the first one alone writes, prints and validates,
    and the others return None.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written then.
        DivergedError: If the loss does not stay finite; the epochs before it are in the folder.
        DiskError: If the disk of the folder is full or fails; what was written before is whole.
        WorkerLostError: If a process that decodes images was ended.
        PeerLostError: If another process of the training was.
    """
    return _train(_prepare(settings), console)


def _prepare(settings: TrainSettings) -> Task:
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
    from nas.training.start import StartWeights
    from nas.training.tensorboard import check_tensorboard

    if settings.tensorboard:
        check_tensorboard()
    device = resolve_own_device(settings.device, launch)
    if settings.compile and not settings.plan:
        check_compiles(device)
    fresh = settings.weights if settings.resume is None else None
    start = None if fresh is None else StartWeights.read(fresh, spec)
    dataset = load_dataset(
        settings.data,
        image_size=max(stage.image_size for stage in schedule),
        val_images=settings.val_images,
        seed=settings.seed,
        loader=settings.loader,
        num_workers=settings.num_workers,
    )
    launch.check_images("training images", len(dataset.train))
    return Task(settings, spec, recipe, schedule, device, dataset, path, start, launch)


def _train(task: Task, console: Console) -> Trained | None:
    from nas.training.cpu import prepare_cpu
    from nas.training.folder import CHECKPOINT
    from nas.training.start import make_network
    from nas.training.team import joined

    settings, dataset, path = task.settings, task.dataset, task.path
    prepare_cpu()
    manifest = TrainingManifest.collect(
        settings.to_dict(),
        dataset.fingerprint,
        str(task.device),
        num_processes=task.launch.size,
        start=None if task.start is None else task.start.to_dict(),
    )
    if settings.resume is None:
        model, said = make_network(task.spec, dataset, settings.seed, task.start)
    else:
        kept = TrainingManifest.load(path / MANIFEST)
        kept.check_compatible(manifest)
        model, said = network_again(task.spec, dataset, settings.seed, kept.start, path / CHECKPOINT, task.what)
    with joined(task.launch, task.device) as team:
        if task.launch.leads:
            return lead(task, model, said, team, manifest, console)
        follow(task, model, team)
    return None


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
        task = _prepare(settings)
        if task.launch.leads:
            show_plan(task.plan(), settings, console)
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
