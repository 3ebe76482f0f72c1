"""`python -m nas.search`: search for networks on your images and your device."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage
from rich.console import Console

from nas import cli
from nas.config import SearchSettings
from nas.evaluation.device_profile import DeviceProfile
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.step_features import StepShape
from nas.evaluation.timing_history import TimingHistory
from nas.execution import (
    Executor,
    InProcessExecutor,
    WorkerPool,
    reserve_timing_gpu,
    search_loop,
    visible_gpus,
    worker_environments,
)
from nas.execution.drivers import Membership
from nas.execution.events import Event, Failed, Finished, Measured
from nas.execution.prescreen import Prescreen
from nas.execution.progress import make_display
from nas.execution.sharing import Others
from nas.execution.tally import duration
from nas.optimization.objectives import Objective, get_objective
from nas.optimization.samplers import make_sampler
from nas.optimization.storage.address import STORAGE_VARIABLE, complete, redacted
from nas.optimization.storage.opening import open_storage
from nas.optimization.trials import note_sitting
from nas.registry import get_space
from nas.results.disk import disk_errors
from nas.results.folder import RunFolder, default_driver_name, default_run_name
from nas.results.manifest import Manifest
from nas.results.records import records
from nas.results.run import Run
from nas.results.shared import begin_or_join, shared_manifest
from nas.results.status import Status, read_status
from nas.results.tables import family_members, family_table, front_table, stage_table
from nas.results.write import write_tables
from nas.space import SearchSpace

if TYPE_CHECKING:
    from nas.evaluation.proxy import ProxyFactory

_WRITE_EVERY_S = 10.0


def search(settings: SearchSettings, console: Console) -> tuple[Run, Finished]:
    """Run or resume a search, and write its results.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written or changed then.
        DiskError: If the disk is full, or fails; what was told is kept.
    """
    settings.check()
    space = get_space(settings.space)
    objective = get_objective(settings.objective)
    fidelity = Fidelity.parse(settings.fidelity)

    def sampler(number: int) -> optuna.samplers.BaseSampler:
        return make_sampler(
            settings.sampler,
            space=space,
            seed=settings.seed,
            trial_number=number,
            budget=settings.budget,
            objective=objective,
        )

    sampler(0)  # says at once what is wrong with it
    target = None if settings.target_device is None else DeviceProfile.load(settings.target_device)
    folder = _folder(settings)
    factory, manifest = _prepare(settings, space, fidelity, target)
    factory = replace(factory, timings=folder.timings_path, checkpoints=folder.checkpoints_path)
    if settings.resume is not None:
        folder.manifest.check_compatible(manifest)
    storage = _storage(settings, manifest)
    with ExitStack() as stack:
        executor = stack.enter_context(_executor(settings, factory))
        # Everything has been checked: from here on things are written.
        todo = f"All that was told is kept: make room, then go on with --resume {cli.short_path(folder.path)}."
        stack.enter_context(disk_errors(folder.path, todo))
        folder.make()
        stack.enter_context(folder.lock())
        if settings.resume is None:
            folder.write_manifest(manifest)
        else:
            manifest = folder.manifest  # the run stays what it was begun as
        study, others = stack.enter_context(_study(settings, folder, storage, objective, manifest))
        note_sitting(study, settings.budget)
        console.print(f"Searching {space.name} on {settings.data}; results in {cli.short_path(folder.path)}")
        if settings.storage is not None:
            console.print(f"Join it elsewhere with: --storage {redacted(settings.storage)} --study {settings.study}")
        display = stack.enter_context(make_display())
        written = time.monotonic()

        def on_event(event: Event) -> None:
            nonlocal written
            display(event)
            if isinstance(event, Measured | Failed) and time.monotonic() - written > _WRITE_EVERY_S:
                write_tables(folder, study, manifest)
                written = time.monotonic()

        finished = search_loop(
            study,
            space,
            budget=settings.budget,
            objective=objective,
            executor=executor,
            make_sampler=sampler,
            fidelity=fidelity,
            seed=settings.seed,
            warm_start=settings.warm_start,
            on_event=on_event,
            prescreen=_prescreen(settings, factory, manifest),
            others=others,
            grace_s=settings.grace,
        )
        if not finished.interrupted:
            folder.remove_checkpoints()  # Of candidates that failed in the middle of their training.
        return write_tables(folder, study, manifest), finished


def summary(run: Run) -> dict[str, Any]:
    """Return what `--json` prints: plain JSON types."""
    return {
        "run": str(cli.short_path(run.folder.path)),
        "measured": int((run.trials["state"] == "measured").sum()),
        "failed": int((run.trials["state"] == "failed").sum()),
        "front": records(run.pareto),
        "family": {} if run.pareto.empty else {size: spec.to_dict() for size, spec in run.family().items()},
    }


def report(run: Run, console: Console) -> None:
    """Print the front's top rows and the family."""
    if run.pareto.empty:
        console.print("No candidate was measured: look at fail_reason in trials.csv.")
        return
    family = run.family()
    members = family_members(family, num_classes=run.manifest.num_classes, in_channels=run.manifest.in_channels)
    console.print(front_table(run.pareto))
    console.print(family_table(members))
    for size, spec in family.items():
        console.print(stage_table(spec, title=size))


def _folder(settings: SearchSettings) -> RunFolder:
    if settings.resume is not None:
        return RunFolder.open(settings.resume)
    if settings.study is not None and settings.out is None:
        return RunFolder.unused(Path("results") / default_driver_name(settings.study))
    return RunFolder.unused(settings.out or Path("results") / default_run_name(settings.space, settings.data))


def _storage(settings: SearchSettings, manifest: Manifest) -> BaseStorage | None:
    """Open the storage that is shared, if one is; what its study is made from must be what is to be searched."""
    if settings.storage is None:
        return None
    assert settings.study is not None, "it is filled in before"
    storage = open_storage(settings.storage, settings.storage_timeout)
    theirs = shared_manifest(storage, settings.study)
    if theirs is not None:
        theirs.check_compatible(manifest)
    return storage


@contextmanager
def _study(
    settings: SearchSettings, folder: RunFolder, storage: BaseStorage | None, objective: Objective, manifest: Manifest
) -> Iterator[tuple[optuna.Study, Others | None]]:
    """Open the run's study: its own, or one that is shared, as one of its drivers."""
    if storage is None or settings.study is None:
        yield folder.study(objective), None
        return
    study = begin_or_join(storage, settings.study, objective, manifest)
    with Membership(study, settings.driver_timeout) as membership:
        membership.replaces(folder.replaced_driver(membership.identity))
        yield study, Others(study, objective, membership)


def _prepare(
    settings: SearchSettings, space: SearchSpace, fidelity: Fidelity, target: DeviceProfile | None
) -> "tuple[ProxyFactory, Manifest]":
    """Check data and device, and say what a run on them is made from."""
    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    from nas.data import load_dataset
    from nas.evaluation.device import resolve_device
    from nas.evaluation.proxy import ProxyFactory

    device = resolve_device(settings.device)
    timing_device = (
        None if settings.timing_device is None else str(resolve_device(settings.timing_device, "timing_device"))
    )
    image_size = space.reference.train_image_size
    dataset = load_dataset(settings.data, image_size=image_size, val_images=settings.val_images, seed=settings.seed)
    factory = ProxyFactory(
        data=settings.data,
        image_size=image_size,
        val_images=settings.val_images,
        data_seed=settings.seed,
        reference=space.reference,
        device=str(device),
        timing_device=timing_device,
        setup=settings.step_setup(),
        target_device=target,
    )
    manifest = Manifest.collect(
        space,
        data=settings.data,
        data_fingerprint=dataset.fingerprint,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
        objective=settings.objective,
        fidelity=str(fidelity),
        seed=settings.seed,
        settings=settings.to_dict(),
        device=str(device),
        target_device=target.measured.device_name if target is not None else "",
        target_device_digest=target.digest if target is not None else "",
        step=settings.step_words(),
    )
    return factory, manifest


def _prescreen(settings: SearchSettings, factory: "ProxyFactory", manifest: Manifest) -> Prescreen | None:
    if settings.max_step_time is None:
        return None
    setup = settings.step_setup()
    shape = StepShape(setup.batch_size, manifest.num_classes, manifest.in_channels, setup.image_size)
    if factory.target_device is not None:
        predictor = factory.target_device.predictor
        shape = predictor.reshaped(num_classes=shape.num_classes, in_channels=shape.in_channels).shape
    return Prescreen(TimingHistory(shape), settings.max_step_time)


def _executor(settings: SearchSettings, factory: "ProxyFactory") -> Executor:
    if settings.workers == 0:
        return InProcessExecutor(factory)
    from nas.evaluation.device import num_devices

    kind, _, _ = factory.device.partition(":")
    # A device that was named is shared by all workers; otherwise each gets one of them.
    count = 1 if settings.device != "auto" and kind != "cpu" else num_devices(kind)
    gpus = visible_gpus(count) if kind == "cuda" and count > 1 else []
    gpus, timing_gpu = reserve_timing_gpu(gpus, factory.timing_device)
    if timing_gpu is not None:
        factory, count = replace(factory, timing_device="cuda:1"), len(gpus)
    return WorkerPool(
        factory,
        worker_environments(kind, settings.workers or count, gpus, timing_gpu),
        timeout_s=settings.trial_timeout,
        memory_bytes=settings.worker_memory_bytes,
    )


def describe(status: Status) -> str:
    """Return where a search stands in a few lines."""
    best = "none yet" if status.best_reward is None else f"reward {status.best_reward:.4f}"
    lines = {
        "Search": f"{status.state}, {cli.short_path(status.run)}",
        "Candidates": f"{status.measured + status.failed} of {status.budget}: "
        f"{status.measured} measured, {status.failed} failed; {status.under_way} under way",
        "Best": f"{best}; {status.front_size} on the front",
    }
    if status.last_outcome_s is not None:
        lines["Last outcome"] = f"{duration(status.last_outcome_s)} ago"
    if status.state == "running":
        lines["ETA"] = duration(status.eta_s)
    return "\n".join(f"{name:<13}{words}" for name, words in lines.items())


def _show_status(settings: SearchSettings, run: Path) -> int:
    settings.check()
    status = read_status(run)
    if settings.json:
        cli.print_json({**asdict(status), "run": str(cli.short_path(status.run))})
    else:
        cli.console().print(describe(status), markup=False, highlight=False, soft_wrap=True)
    return 0


def _joining(settings: SearchSettings, prog: str, args: Sequence[str]) -> SearchSettings:
    """Return the settings of a search that may share its study: those of the study where no flag says otherwise."""
    url = settings.storage or os.environ.get(STORAGE_VARIABLE)
    if url is None:
        return settings
    settings = replace(settings, storage=url)
    settings.check()
    if settings.study is None:
        folder = _folder(settings)
        return replace(settings, study=folder.path.name, out=folder.path)
    theirs = shared_manifest(open_storage(url, settings.storage_timeout), settings.study)
    if theirs is None:
        return settings
    return cli.parse(SearchSettings, prog, args, default=settings.joining(SearchSettings.from_dict(theirs.settings)))


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    prog = "python -m nas.search"
    settings = cli.parse(SearchSettings, prog, args)
    if settings.status is not None:
        return _show_status(settings, settings.status)
    if settings.resume is not None:
        before = SearchSettings.from_dict(RunFolder.open(settings.resume).manifest.settings)
        if before.storage is not None:
            before = replace(before, storage=complete(before.storage))
        settings = cli.parse(SearchSettings, prog, args, default=before)
    else:
        settings = _joining(settings, prog, args)
    console = cli.console(stderr=settings.json)
    run, finished = search(settings, console)
    if settings.json:
        cli.print_json(summary(run))
    else:
        report(run, console)
    if finished.interrupted:
        console.print(f"Go on with: {prog} --resume {cli.short_path(run.folder.path)}")
        return 130
    if run.pareto.empty:
        return 1
    console.print(f"Train the small one with: python -m nas.train --arch {cli.short_path(run.folder.arch_path('S'))}")
    return 0


if __name__ == "__main__":
    cli.run(main)
