"""`python -m nas.search`: search for networks on your images and your device."""

import logging
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd
from optuna.storages import BaseStorage
from rich.console import Console

from nas import cli
from nas.config import SearchSettings
from nas.config.places import parse_devices
from nas.errors import invalid
from nas.evaluation.device_profile import DeviceProfile
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job
from nas.evaluation.measurement import Measurement
from nas.evaluation.step_features import StepShape
from nas.evaluation.table import TABLE_METRICS, Table, TabularSpace, read_table
from nas.evaluation.timing_history import TimingHistory
from nas.execution import (
    Executor,
    Failure,
    InProcessExecutor,
    WorkerPool,
    reserve_timing_gpu,
    search_loop,
    visible_gpus,
    worker_environments,
)
from nas.execution.batch import run_jobs
from nas.execution.drivers import Membership
from nas.execution.events import Event, Failed, Finished, Measured
from nas.execution.prescreen import Prescreen
from nas.execution.progress import make_display
from nas.execution.sharing import Others
from nas.execution.tally import duration
from nas.files import replace_file
from nas.optimization.objectives import Objective, get_objective
from nas.optimization.prefilter import TRIVIAL_SIGNALS, Prefilter, trivial_signal
from nas.optimization.samplers import make_sampler
from nas.optimization.storage.address import STORAGE_VARIABLE, complete, redacted
from nas.optimization.storage.opening import open_storage
from nas.optimization.trials import note_sitting
from nas.registry import get_space
from nas.results.calibration.recommendation import find_recommendation
from nas.results.disk import disk_errors
from nas.results.folder import RunFolder, default_driver_name, default_run_name
from nas.results.manifest import Manifest
from nas.results.records import records
from nas.results.replay import replay_frame, replay_jobs, replay_table, replay_words
from nas.results.run import Run, load
from nas.results.shared import begin_or_join, shared_manifest
from nas.results.status import Status, read_status
from nas.results.tables import family_members, family_table, front_table, stage_table
from nas.results.ties import tie_words
from nas.results.write import to_csv, write_tables
from nas.space import SearchSpace

if TYPE_CHECKING:
    from nas.evaluation.proxy import ProxyFactory
    from nas.execution.ray_cluster import RayCluster

logger = logging.getLogger(__name__)

_WRITE_EVERY_S = 10.0
_WRITE_FRACTION = 0.02
"""Of the time of a search, what its tables may take while it goes on: those of thousands of trials take seconds."""


def search(settings: SearchSettings, console: Console) -> tuple[Run, Finished]:
    """Run or resume a search, and write its results.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written or changed then.
        DiskError: If the disk is full, or fails; what was told is kept.
    """
    settings.check()
    space = get_space(settings.space)
    objective = get_objective(settings.objective)
    recommended = find_recommendation(settings.fidelity)
    if recommended is not None:
        settings = replace(settings, fidelity=recommended.fidelity)
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
    cluster = _cluster(settings)
    factory: ProxyFactory | Table
    with ExitStack() as stack:
        if settings.table is not None:
            factory, manifest = _prepare_table(settings, settings.table, space, objective)
        else:
            factory, manifest = _prepare(settings, space, fidelity, target, cluster, stack)
            if cluster is None:  # A node of a cluster may not have the folder.
                factory = replace(factory, timings=folder.timings_path, checkpoints=folder.checkpoints_path)
        if recommended is not None:
            manifest = recommended.note(manifest)
        storage = _agreed(settings, folder, manifest)
        prefilter = _prefilter(settings, factory, manifest)
        executor = stack.enter_context(_executor(settings, factory, cluster))
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
        console.print(f"Searching {space.name} on {manifest.data}; results in {cli.short_path(folder.path)}")
        if settings.storage is not None:
            join = f"--storage {redacted(settings.storage)} --study {shlex.quote(settings.study or '')}"
            console.print(f"Join it elsewhere with: {join}", markup=False, highlight=False, soft_wrap=True)
        display = stack.enter_context(make_display(objective=objective))
        tables = _Tables(folder, study, manifest)

        def on_event(event: Event) -> None:
            display(event)
            tables.on_event(event)

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
            noise_repeats=settings.noise_repeats if settings.table is None else 0,  # it would say the same again
            prefilter=prefilter,
            grace_s=settings.grace,
        )
        if not finished.interrupted:
            folder.remove_checkpoints()  # Of candidates that failed in the middle of their training.
        return write_tables(folder, study, manifest), finished


class _Tables:
    """Writes a run's tables while its search goes on, as often as that is cheap."""

    def __init__(self, folder: RunFolder, study: optuna.Study, manifest: Manifest) -> None:
        self._folder, self._study, self._manifest = folder, study, manifest
        self._next = time.monotonic() + _WRITE_EVERY_S
        self._has_warned = False

    def on_event(self, event: Event) -> None:
        began = time.monotonic()
        if not isinstance(event, Measured | Failed) or began < self._next:
            return
        noise = write_tables(self._folder, self._study, self._manifest).noise
        ended = time.monotonic()
        self._next = ended + max(_WRITE_EVERY_S, (ended - began) / _WRITE_FRACTION)
        if not self._has_warned and noise is not None and noise.warning is not None:
            self._has_warned = True
            logger.warning("%s", noise.warning)


def summary(run: Run) -> dict[str, Any]:
    """Return what `--json` prints: plain JSON types."""
    return {
        "run": str(cli.short_path(run.folder.path)),
        "measured": int((run.trials["state"] == "measured").sum()),
        "failed": int((run.trials["state"] == "failed").sum()),
        "noise": None if run.noise is None else run.noise.to_dict(),
        "front": records(run.pareto),
        "family": {} if run.pareto.empty else {size: spec.to_dict() for size, spec in run.family().items()},
    }


def report(run: Run, console: Console) -> None:
    """Print the front's top rows and the family, and what noise leaves of them."""
    if run.pareto.empty:
        console.print("No candidate was measured: look at fail_reason in trials.csv.")
        return
    family = run.family()
    members = family_members(family, num_classes=run.manifest.num_classes, in_channels=run.manifest.in_channels)
    console.print(front_table(run.pareto))
    console.print(family_table(members))
    for size, spec in family.items():
        console.print(stage_table(spec, title=size))
    for words in tie_words(run.pareto):
        console.print(words, markup=False, highlight=False, soft_wrap=True)


def _folder(settings: SearchSettings) -> RunFolder:
    if settings.resume is not None:
        return RunFolder.open(settings.resume)
    if settings.study is not None and settings.out is None:
        return RunFolder.unused(Path("results") / default_driver_name(settings.study))
    data = settings.data if settings.table is None else settings.table.stem
    return RunFolder.unused(settings.out or Path("results") / default_run_name(settings.space, data))


def _agreed(settings: SearchSettings, folder: RunFolder, manifest: Manifest) -> BaseStorage | None:
    """Check that a run that is resumed, and a study that is joined, are made from what is to be searched.

    Returns:
        The storage that is shared, if one is.
    """
    if settings.resume is not None:
        folder.manifest.check_compatible(manifest)
    if settings.storage is None:
        return None
    if settings.study is None:
        raise invalid("study", "given with a storage", None, "Name it, so that other drivers can join it.")
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


def _cluster(settings: SearchSettings) -> "RayCluster | None":
    if settings.cluster is None:
        return None
    from nas.execution.ray_cluster import RayCluster

    cluster = RayCluster(
        settings.cluster,
        device=settings.device,
        gpus_per_trial=settings.gpus_per_trial,
        memory_per_trial=settings.memory_per_trial_bytes(),
        num_workers=settings.workers,
    )
    cluster.check()
    return cluster


def _prepare(
    settings: SearchSettings,
    space: SearchSpace,
    fidelity: Fidelity,
    target: DeviceProfile | None,
    cluster: "RayCluster | None",
    stack: ExitStack,
) -> "tuple[ProxyFactory, Manifest]":
    """Check data and device, and say what a run on them is made from; the cluster is connected until `stack` ends."""
    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    from nas.data import load_dataset
    from nas.evaluation.device import resolve_device
    from nas.evaluation.proxy import ProxyFactory

    device = str(resolve_device(settings.device if cluster is None else "cpu"))
    if settings.devices is not None:
        named = [resolve_device(f"cuda:{index}", "devices") for index in parse_devices(settings.devices)]
        device = named[0].type
    timing_device = (
        None if settings.timing_device is None else str(resolve_device(settings.timing_device, "timing_device"))
    )
    image_size = space.reference.train_image_size
    dataset = load_dataset(settings.data, image_size=image_size, val_images=settings.val_images, seed=settings.seed)
    fetch = None
    if cluster is not None:
        stack.enter_context(cluster)
        device, fetch = cluster.demand.device, cluster.share(dataset)
    factory = ProxyFactory(
        data=settings.data,
        image_size=image_size,
        val_images=settings.val_images,
        data_seed=settings.seed,
        reference=space.reference,
        device=device,
        timing_device=timing_device,
        setup=settings.step_setup(),
        target_device=target,
        signals=settings.signals or (),
        fetch=fetch,
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
        device=device,
        target_device=target.measured.device_name if target is not None else "",
        target_device_digest=target.digest if target is not None else "",
        step=settings.step_words(),
    )
    return factory, manifest


def _prepare_table(
    settings: SearchSettings, path: Path, space: SearchSpace, objective: Objective
) -> tuple[Table, Manifest]:
    """Read a table of measured networks, and say what a run in it is made from. No torch."""
    unknown = [metric for metric in objective.metrics if metric not in TABLE_METRICS]
    if unknown:
        rule = "one of what a table says, such as accuracy-macs"
        raise invalid("objective", rule, objective.name, f"It holds no {unknown[0]}.")
    table = read_table(path, space)
    assert isinstance(space, TabularSpace), "read_table refuses others"
    manifest = Manifest.collect(
        space,
        data=table.name,
        data_fingerprint=table.digest,
        num_classes=space.num_classes,
        in_channels=space.in_channels,
        objective=settings.objective,
        fidelity="looked up",
        seed=settings.seed,
        settings=settings.to_dict(),
        device="cpu",
        step="none",
    )
    return table, manifest


def _prescreen(settings: SearchSettings, factory: "ProxyFactory | Table", manifest: Manifest) -> Prescreen | None:
    if settings.max_step_time is None or isinstance(factory, Table):
        return None
    setup = settings.step_setup()
    shape = StepShape(setup.batch_size, manifest.num_classes, manifest.in_channels, setup.image_size)
    if factory.target_device is not None:
        predictor = factory.target_device.predictor
        shape = predictor.reshaped(num_classes=shape.num_classes, in_channels=shape.in_channels).shape
    return Prescreen(TimingHistory(shape), settings.max_step_time)


def _prefilter(settings: SearchSettings, factory: "ProxyFactory | Table", manifest: Manifest) -> Prefilter | None:
    rule = settings.prefilter_rule()
    if rule is None:
        return None
    if rule.signal in TRIVIAL_SIGNALS or isinstance(factory, Table):
        shape = {"num_classes": manifest.num_classes, "in_channels": manifest.in_channels}
        return Prefilter(rule.keep, trivial_signal(rule.signal, **shape))
    scorer = factory.scorer(rule.signal)
    return Prefilter(rule.keep, lambda spec: scorer(spec)[rule.signal])


def _executor(settings: SearchSettings, factory: "ProxyFactory | Table", cluster: "RayCluster | None") -> Executor:
    if cluster is not None and not isinstance(factory, Table):
        from nas.execution.ray_executor import RayExecutor

        return RayExecutor(cluster, factory, settings.workers)
    if settings.workers == 0 or (settings.workers is None and isinstance(factory, Table)):
        return InProcessExecutor(factory)
    if isinstance(factory, Table):
        return WorkerPool(factory, worker_environments("cpu", settings.workers or 1))
    from nas.evaluation.device import num_devices

    kind, _, _ = factory.device.partition(":")
    # A device that was named is shared by all workers; otherwise each gets one of them.
    count = 1 if settings.device != "auto" and kind != "cpu" else num_devices(kind)
    devices = None if settings.devices is None else parse_devices(settings.devices)
    gpus = visible_gpus(count) if kind == "cuda" and (count > 1 or devices is not None) else []
    gpus, timing_gpu = reserve_timing_gpu(gpus, factory.timing_device, devices)
    if timing_gpu is not None:
        factory = replace(factory, timing_device="cuda:1")
    return WorkerPool(
        factory,
        worker_environments(kind, settings.workers or len(gpus) or count, gpus, timing_gpu),
        timeout_s=settings.trial_timeout,
        memory_bytes=settings.worker_memory_bytes,
    )


def describe(status: Status) -> str:
    """Return where a search stands in a few lines."""
    best = "none yet"
    if status.best_reward is not None:
        best = f"reward {status.best_reward:.4f}"
    elif status.best_accuracy is not None:
        best = f"accuracy {status.best_accuracy:.4f}"
    lines = {
        "Search": f"{status.state}, {cli.short_path(status.run)}",
        "Candidates": f"{status.measured + status.failed} of {status.budget}: "
        f"{status.measured} measured, {status.failed} failed; {status.under_way} under way",
        "Best": f"{best}; {status.front_size} on the front",
    }
    if status.noise is not None:
        lines["Noise"] = status.noise.warning or status.noise.describe()
    if status.last_outcome_s is not None:
        lines["Last outcome"] = f"{duration(status.last_outcome_s)} ago"
    if status.state == "running":
        lines["ETA"] = duration(status.eta_s)
    return "\n".join(f"{name:<13}{words}" for name, words in lines.items())


def _show_status(settings: SearchSettings, run: Path) -> int:
    settings.check()
    status = read_status(run)
    if settings.json:
        noise = None if status.noise is None else status.noise.to_dict()
        cli.print_json({**asdict(status), "run": str(cli.short_path(status.run)), "noise": noise})
    else:
        cli.console().print(describe(status), markup=False, highlight=False, soft_wrap=True)
    return 0


def replay(settings: SearchSettings, run: Run, console: Console) -> pd.DataFrame | None:
    """Evaluate a run's front and reference networks again, and write `replay.csv` into its folder.

    Args:
        settings: Those of the run, but for where it is evaluated.
        run: As it was measured.
        console: Told of each candidate that ended.

    Returns:
        As `nas.results.replay.replay_frame`, or None if it was interrupted; nothing has been written then.

    Raises:
        InvalidInputError: If nothing was measured, or the data or what is timed are not those of the run.
    """
    settings = replace(settings, signals=None)  # They have no noise.
    settings.check()
    space, fidelity = get_space(settings.space), Fidelity.parse(settings.fidelity)
    jobs = replay_jobs(run, fidelity)
    target = None if settings.target_device is None else DeviceProfile.load(settings.target_device)
    cluster = _cluster(settings)
    factory: ProxyFactory | Table
    again: dict[int, Measurement | str] = {}

    def on_ended(job: Job, outcome: Measurement | Failure) -> None:
        again[job.number] = outcome.reason if isinstance(outcome, Failure) else outcome
        words = outcome.reason if isinstance(outcome, Failure) else f"accuracy {outcome.accuracy:.4f}"
        console.print(f"[{len(again)}/{len(jobs)}] #{job.number} {words}", markup=False, highlight=False)

    def on_stopping(num_running: int) -> None:
        console.print(f"Stopping when the {num_running} running end; once more to give them up.")

    with ExitStack() as stack:
        if settings.table is not None:
            factory, manifest = _prepare_table(settings, settings.table, space, get_objective(settings.objective))
        else:
            factory, manifest = _prepare(settings, space, fidelity, target, cluster, stack)
        run.manifest.check_comparable(manifest)
        executor = stack.enter_context(_executor(settings, factory, cluster))
        stack.enter_context(disk_errors(run.folder.path, "Make room, then replay it again."))
        stack.enter_context(run.folder.lock())
        if not run_jobs(executor, jobs, on_ended=on_ended, on_stopping=on_stopping):
            return None
        frame = replay_frame(run, {job.number: again[job.number] for job in jobs})
        replace_file(run.folder.replay_path, to_csv(frame))
    return frame


def _replay(settings: SearchSettings, path: Path) -> int:
    """Replay a run and say what came of it; return the exit code."""
    console = cli.console(stderr=settings.json)
    run = load(path)
    frame = replay(settings, run, console)
    if frame is None:
        return 130
    agrees = bool(frame["agrees"].all())
    if settings.json:
        content = {"run": str(cli.short_path(run.folder.path)), "agrees": agrees, "candidates": records(frame)}
        cli.print_json(content)
    else:
        console.print(replay_table(frame))
    console.print(replay_words(frame), markup=False, highlight=False, soft_wrap=True)
    return 0 if agrees else 1


def _settings_of(run: Path) -> SearchSettings:
    before = SearchSettings.from_dict(RunFolder.open(run).manifest.settings)
    return before if before.storage is None else replace(before, storage=complete(before.storage))


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
    if settings.replay is not None:
        return _replay(cli.parse(SearchSettings, prog, args, default=_settings_of(settings.replay)), settings.replay)
    if settings.resume is not None:
        settings = cli.parse(SearchSettings, prog, args, default=_settings_of(settings.resume))
    else:
        settings = _joining(settings, prog, args)
    console = cli.console(stderr=settings.json)
    run, finished = search(settings, console)
    if settings.json:
        cli.print_json(summary(run))
    else:
        report(run, console)
    if run.noise is not None and run.noise.warning is not None:
        console.print(f"Warning: {run.noise.warning}", markup=False, highlight=False, soft_wrap=True)
    if finished.interrupted:
        console.print(f"Go on with: {prog} --resume {cli.short_path(run.folder.path)}")
        return 130
    if run.pareto.empty:
        return 1
    console.print(f"Train the small one with: python -m nas.train --arch {cli.short_path(run.folder.arch_path('S'))}")
    return 0


if __name__ == "__main__":
    cli.run(main)
