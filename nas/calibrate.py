"""`python -m nas.calibrate`: find out whether brief training puts networks into the order that long training does."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from nas import cli
from nas.assembly.places import local_environments
from nas.complexity import complexity
from nas.config import CalibrateSettings
from nas.config.calibrate import ladder
from nas.evaluation.design import random_networks
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import job_seed
from nas.evaluation.training_job import TrainingJob, TrainingResult
from nas.execution import Executor, Failure, InProcessExecutor, WorkerPool
from nas.execution.batch import run_jobs
from nas.execution.tally import duration
from nas.registry import get_space
from nas.results.calibration.calibration import Calibration, load_calibration
from nas.results.calibration.evaluations import Evaluation, Role
from nas.results.calibration.folder import CalibrationFolder
from nas.results.calibration.manifest import CalibrationManifest
from nas.results.calibration.write import COLUMNS, table_rows, write_calibration, write_plot
from nas.results.folder import default_run_name
from nas.spec import ArchSpec

if TYPE_CHECKING:
    from nas.evaluation.trainings import TrainingFactory

_PROG = "python -m nas.calibrate"
_WRITE_EVERY_S = 10.0
_RESULT_FIELDS = tuple(f.name for f in fields(TrainingResult))
_PRINTED = ("Ranking", "Tau", "Ceiling", "Top half", "Seeds", "Ratio", "Regret", "Cost")


def calibrate(settings: CalibrateSettings, console: Console) -> tuple[Calibration, bool]:
    """Do or resume a calibration, and write its tables.

    Returns:
        What was found, and whether all trainings ended.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written or changed then.
    """
    settings.check()
    space = get_space(settings.space)
    specs = random_networks(space, settings.networks, settings.seed)
    name = f"calibrate-{settings.space}"
    if settings.resume is None:
        folder = CalibrationFolder.unused(settings.out or Path("results") / default_run_name(name, settings.data))
    else:
        folder = CalibrationFolder.open(settings.resume)
    factory, settings, manifest = _prepare(settings)
    if settings.resume is not None:
        folder.manifest.check_compatible(manifest)
        manifest = replace(folder.manifest, settings=manifest.settings)
    with _executor(settings, factory) as executor:
        # Everything has been checked: from here on things are written.
        folder.make()
        with folder.lock():
            folder.write_manifest(manifest)
            console.print(f"Calibrating {space.name} on {settings.data}; results in {cli.short_path(folder.path)}")
            finished = _train(plan(settings, specs), folder, executor, manifest, settings.min_tau)
            calibration = load_calibration(folder.path, settings.min_tau)
            write_calibration(calibration)
            _plot(calibration, console)
    return calibration, finished


@dataclass(frozen=True, slots=True)
class Planned:
    """One training: what is to be run, and what its record will say of it."""

    job: TrainingJob
    network: int
    role: Role

    @property
    def key(self) -> tuple[str, str, str, int]:
        """As that of its `Evaluation`."""
        return self.job.spec.arch_id, self.role, str(self.job.fidelity), self.job.seed

    def record(self, outcome: TrainingResult | Failure) -> Evaluation:
        if isinstance(outcome, Failure):
            found: dict[str, Any] = {**dict.fromkeys(_RESULT_FIELDS), "fail_reason": outcome.reason}
        else:
            found = asdict(outcome)
        return Evaluation(
            network=self.network,
            arch_id=self.job.spec.arch_id,
            arch=self.job.spec.to_dict(),
            role=self.role,
            fidelity=str(self.job.fidelity),
            seed=self.job.seed,
            **found,
        )


def plan(settings: CalibrateSettings, specs: Sequence[ArchSpec]) -> list[Planned]:
    """Return all trainings in the order in which they are done: brief ones first, then long ones a seed at a time.

    So a first verdict can be given when every network has had one long training.
    """
    from nas.evaluation.proxy_factory import PROXY_RECIPE
    from nas.training.recipe import Recipe

    def each() -> Iterator[tuple[Role, str, int]]:
        for fidelity in settings.fidelities or ():
            for repeat in range(settings.repeats):
                yield "proxy", fidelity, repeat
        for repeat in range(settings.repeats):
            yield "long", settings.long, repeat

    planned: list[Planned] = []
    for role, text, repeat in each():
        fidelity = Fidelity.parse(text)
        recipe = PROXY_RECIPE if role == "proxy" else Recipe()
        seed = job_seed(settings.seed + repeat, fidelity)  # as in a search with that seed
        for network, spec in enumerate(specs):
            job = TrainingJob(len(planned), spec, fidelity, seed, recipe=recipe)
            planned.append(Planned(job, network, role))
    return planned


def _prepare(settings: CalibrateSettings) -> "tuple[TrainingFactory, CalibrateSettings, CalibrationManifest]":
    """Check data and device; return settings with fidelities, and what a calibration with them is made from."""
    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    from nas.data import load_dataset
    from nas.evaluation.device import resolve_device
    from nas.evaluation.trainings import TrainingFactory

    space = get_space(settings.space)
    device = resolve_device(settings.device)
    size = space.reference.train_image_size
    dataset = load_dataset(settings.data, image_size=size, val_images=settings.val_images, seed=settings.seed)
    if settings.fidelities is None:
        fidelities = ladder(len(dataset.train), Fidelity.parse(settings.long))
        settings = replace(settings, fidelities=fidelities)
    factory = TrainingFactory(
        data=settings.data,
        image_size=size,
        val_images=settings.val_images,
        data_seed=settings.seed,
        device=str(device),
    )
    manifest = CalibrationManifest.collect(
        space,
        data=settings.data,
        data_fingerprint=dataset.fingerprint,
        num_classes=dataset.num_classes,
        in_channels=dataset.in_channels,
        num_train_images=len(dataset.train),
        num_val_images=len(dataset.val),
        long=settings.long,
        device=str(device),
        settings=settings.to_dict(),
    )
    return factory, settings, manifest


def _executor(settings: CalibrateSettings, factory: "TrainingFactory") -> Executor:
    # Executors pass on whatever their evaluators return; their types speak of a search's.
    if settings.workers == 0:
        return InProcessExecutor(factory)  # type: ignore[arg-type]
    is_named = settings.device != "auto"
    environments, _ = local_environments(factory.device, settings.workers, is_named=is_named)
    return WorkerPool(factory, environments)  # type: ignore[arg-type]


def _train(
    planned: Sequence[Planned],
    folder: CalibrationFolder,
    executor: Executor,
    manifest: CalibrationManifest,
    min_tau: float,
) -> bool:
    """Run the trainings that are not on record, and put them there; return whether all ended."""
    done = {evaluation.key for evaluation in folder.evaluations() if evaluation.accuracy is not None}
    missing = [each for each in planned if each.key not in done]
    by_number = {each.job.number: each for each in missing}
    say = _teller(planned, missing, manifest.num_train_images)
    written = time.monotonic()

    def on_ended(job: TrainingJob, outcome: TrainingResult | Failure) -> None:
        nonlocal written
        evaluation = by_number[job.number].record(outcome)
        folder.add(evaluation)
        say(evaluation)
        if time.monotonic() - written > _WRITE_EVERY_S:
            write_calibration(load_calibration(folder.path, min_tau))
            written = time.monotonic()

    def on_stopping(num_running: int) -> None:
        _to_stderr(f"Stopping when the {num_running} running end; once more to give them up.")

    return run_jobs(executor, [each.job for each in missing], on_ended=on_ended, on_stopping=on_stopping)


def _teller(
    planned: Sequence[Planned], missing: Sequence[Planned], num_train_images: int
) -> Callable[[Evaluation], None]:
    """Return what prints a line for a training that ended, with the time that is left by the work that is left."""
    work = {each.key: _work(each.job, num_train_images) for each in planned}
    left, began = sum(work[each.key] for each in missing), time.monotonic()
    num_done, work_done = len(planned) - len(missing), 0.0

    def say(evaluation: Evaluation) -> None:
        nonlocal num_done, work_done
        num_done, work_done = num_done + 1, work_done + work[evaluation.key]
        eta_s = (time.monotonic() - began) * (left - work_done) / work_done
        found = evaluation.fail_reason or f"accuracy {evaluation.accuracy:.3f}  {duration(evaluation.wall_s)}"
        head = f"[{num_done:>{len(str(len(planned)))}}/{len(planned)}] network {evaluation.network}"
        _to_stderr(f"{head} {evaluation.fidelity} ({evaluation.role})  {found}  ETA {duration(eta_s)}")

    return say


def _work(job: TrainingJob, num_train_images: int) -> float:
    """Return what a training takes, in a unit of its own: step times follow the values that convolutions write."""
    images_seen = min(job.fidelity.train_images, num_train_images) * job.fidelity.epochs
    size = job.fidelity.image_size
    return images_seen * complexity(job.spec, num_classes=10, in_channels=3, image_size=size).num_activations


def _to_stderr(line: str) -> None:
    Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)


def _plot(calibration: Calibration, console: Console) -> None:
    if not write_plot(calibration) and calibration.table["tau"].notna().any():
        console.print(
            'No plot without matplotlib: pip install "nas[report]", then nas.calibrate --report.', markup=False
        )


def report(calibration: Calibration, console: Console) -> None:
    """Print the table and the verdict."""
    table = Table(title=f"Rank correlation with {calibration.manifest.long}")
    for name in _PRINTED:
        table.add_column(name, justify="left" if name == "Ranking" else "right")
    for cells in table_rows(calibration.table):
        table.add_row(*(cells[COLUMNS.index(name)] for name in _PRINTED))
    console.print(table)
    console.print(calibration.verdict.words, markup=False, highlight=False)


def _show(settings: CalibrateSettings, path: Path, console: Console) -> Calibration:
    """Judge the trainings that there are; the files are written unless a calibration is at work, which does that."""
    settings.check()
    calibration = load_calibration(path, settings.min_tau)
    if not calibration.folder.is_locked():
        write_calibration(calibration)
        _plot(calibration, console)
    return calibration


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    settings = cli.parse(CalibrateSettings, _PROG, args)
    if settings.resume is not None:
        before = CalibrateSettings.from_dict(CalibrationFolder.open(settings.resume).manifest.settings)
        settings = cli.parse(CalibrateSettings, _PROG, args, default=before)
    console = cli.console(stderr=settings.json)
    if settings.report is not None:
        calibration, finished = _show(settings, settings.report, console), True
    else:
        calibration, finished = calibrate(settings, console)
    path = cli.short_path(calibration.folder.path)
    if settings.json:
        cli.print_json({"folder": str(path), **calibration.to_dict()})
    else:
        report(calibration, console)
    if not finished:
        console.print(f"Go on with: {_PROG} --resume {path}")
        return 130
    if all(evaluation.accuracy is None for evaluation in calibration.evaluations):
        return 1
    if calibration.verdict.fidelity is not None:
        console.print(f"Search with: python -m nas.search --fidelity from:{path}")
    return 0


if __name__ == "__main__":
    cli.run(main)
