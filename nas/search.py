"""`python -m nas.search`: search for networks on your images and your device."""

import os
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from rich.console import Console

from nas import cli
from nas.assembly.live_tables import LiveTables
from nas.assembly.places import find_cluster, make_executor
from nas.assembly.replay import replay
from nas.assembly.screens import make_prefilter, make_prescreen
from nas.assembly.sources import prepare_proxy, prepare_table
from nas.assembly.studies import agreed_storage, open_study
from nas.config import SearchSettings
from nas.evaluation.device_profile import DeviceProfile
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.table import Table
from nas.execution import (
    search_loop,
)
from nas.execution.events import Event, Finished
from nas.execution.progress import make_display
from nas.execution.tally import duration
from nas.optimization.objectives import get_objective
from nas.optimization.samplers import make_sampler
from nas.optimization.stopping import make_stopping
from nas.optimization.storage.address import STORAGE_VARIABLE, complete, redacted
from nas.optimization.storage.opening import open_storage
from nas.optimization.trials import note_end, note_sitting
from nas.registry import get_space
from nas.results.calibration.recommendation import find_recommendation
from nas.results.disk import disk_errors
from nas.results.folder import RunFolder, default_driver_name, default_run_name
from nas.results.records import records
from nas.results.replay import replay_table, replay_words
from nas.results.run import Run, load
from nas.results.shared import shared_manifest
from nas.results.status import Status, read_status
from nas.results.tables import family_members, family_table, front_table, stage_table
from nas.results.ties import tie_words
from nas.results.write import write_tables

if TYPE_CHECKING:
    from nas.evaluation.proxy_factory import ProxyFactory


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

    stopping = make_stopping(settings.stopping, objective=objective, rungs=settings.rungs)
    sampler(0)  # says at once what is wrong with it
    target = None if settings.target_device is None else DeviceProfile.load(settings.target_device)
    folder = _folder(settings)
    cluster = find_cluster(settings)
    factory: ProxyFactory | Table
    with ExitStack() as stack:
        if settings.table is not None:
            factory, manifest = prepare_table(settings, settings.table, space, objective)
        else:
            factory, manifest = prepare_proxy(settings, space, fidelity, target, cluster, stack)
            if cluster is None:  # A node of a cluster may not have the folder.
                factory = replace(factory, timings=folder.timings_path, checkpoints=folder.checkpoints_path)
        if recommended is not None:
            manifest = recommended.note(manifest)
        storage = agreed_storage(settings, folder, manifest)
        prefilter = make_prefilter(settings, factory, manifest)
        executor = stack.enter_context(make_executor(settings, factory, cluster))
        # Everything has been checked: from here on things are written.
        todo = f"All that was told is kept: make room, then go on with --resume {cli.short_path(folder.path)}."
        stack.enter_context(disk_errors(folder.path, todo))
        folder.make()
        stack.enter_context(folder.lock())
        if settings.resume is None:
            folder.write_manifest(manifest)
        else:
            manifest = folder.manifest  # the run stays what it was begun as
        study, others = stack.enter_context(open_study(settings, folder, storage, objective, manifest))
        note_sitting(study, settings.budget)
        console.print(f"Searching {space.name} on {manifest.data}; results in {cli.short_path(folder.path)}")
        if settings.storage is not None:
            join = f"--storage {redacted(settings.storage)} --study {shlex.quote(settings.study or '')}"
            console.print(f"Join it elsewhere with: {join}", markup=False, highlight=False, soft_wrap=True)
        display = stack.enter_context(make_display(objective=objective))
        tables = LiveTables(folder, study, manifest)

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
            prescreen=make_prescreen(settings, factory, manifest),
            others=others,
            noise_repeats=settings.noise_repeats if settings.table is None else 0,  # it would say the same again
            prefilter=prefilter,
            stopping=stopping if settings.table is None else None,  # There is no training to stop.
            grace_s=settings.grace,
        )
        if not finished.interrupted:
            folder.remove_checkpoints()  # Of candidates that failed in the middle of their training.
            note_end(study, exhausted=finished.exhausted)
        return write_tables(folder, study, manifest), finished


def summary(run: Run) -> dict[str, Any]:
    """Return what `--json` prints: plain JSON types."""
    return {
        "run": str(cli.short_path(run.folder.path)),
        "measured": int((run.trials["state"] == "measured").sum()),
        "stopped": int((run.trials["state"] == "stopped").sum()),
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


def describe(status: Status) -> str:
    """Return where a search stands in a few lines."""
    best = "none yet"
    if status.best_reward is not None:
        best = f"reward {status.best_reward:.4f}"
    elif status.best_accuracy is not None:
        best = f"accuracy {status.best_accuracy:.4f}"
    why = " (no network of the space is left that was not evaluated)" if status.exhausted else ""
    lines = {
        "Search": f"{status.state}{why}, {cli.short_path(status.run)}",
        "Candidates": f"{status.measured + status.stopped + status.failed} of {status.budget}: "
        f"{status.measured} measured, {status.stopped} stopped early, {status.failed} failed; "
        f"{status.under_way} under way",
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
    words = ["--arch", str(cli.short_path(run.folder.arch_path("S")))]
    if settings.table is None:
        words += ["--data", settings.data]
    train = f"Train the small one with: python -m nas.train {shlex.join(words)}"
    console.print(train, markup=False, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    cli.run(main)
