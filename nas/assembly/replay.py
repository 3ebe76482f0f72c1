"""A finished run's front, evaluated again where its numbers came from or somewhere else."""

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console

from nas.assembly.places import find_cluster, make_executor
from nas.assembly.sources import prepare_proxy, prepare_table
from nas.config import SearchSettings
from nas.evaluation.device_profile import DeviceProfile
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job
from nas.evaluation.measurement import Measurement
from nas.evaluation.table import Table
from nas.execution import Failure
from nas.execution.batch import run_jobs
from nas.files import replace_file
from nas.optimization.objectives import get_objective
from nas.registry import get_space
from nas.results.disk import disk_errors
from nas.results.replay import replay_frame, replay_jobs
from nas.results.run import Run
from nas.results.write import to_csv

if TYPE_CHECKING:
    from nas.evaluation.proxy_factory import ProxyFactory


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
    cluster = find_cluster(settings)
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
            factory, manifest = prepare_table(settings, settings.table, space, get_objective(settings.objective))
        else:
            factory, manifest = prepare_proxy(settings, space, fidelity, target, cluster, stack)
        run.manifest.check_comparable(manifest)
        executor = stack.enter_context(make_executor(settings, factory, cluster))
        stack.enter_context(disk_errors(run.folder.path, "Make room, then replay it again."))
        stack.enter_context(run.folder.lock())
        if not run_jobs(executor, jobs, on_ended=on_ended, on_stopping=on_stopping):
            return None
        frame = replay_frame(run, {job.number: again[job.number] for job in jobs})
        replace_file(run.folder.replay_path, to_csv(frame))
    return frame
