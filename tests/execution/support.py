"""A small space, an evaluator that computes instead of training, and a driver to be killed."""

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from nas.complexity import complexity
from nas.errors import DivergedError, InvalidInputError
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import StopRule
from nas.evaluation.measurement import Measurement, Rung
from nas.execution import Evaluate, Executor, Job, search_loop
from nas.execution.events import Event, Finished
from nas.execution.prescreen import Prescreen
from nas.execution.sharing import Others
from nas.execution.signals import GRACE_S
from nas.optimization.objectives import PARETO, Objective
from nas.optimization.prefilter import Prefilter
from nas.optimization.stopping import EarlyStopping
from nas.optimization.trials import ARCH_ID, ORIGIN, any_measurement_of, candidates
from nas.space import Bounds, Params, SearchSpace, Skeleton, StageChoices, StagewiseSpace, Value
from nas.spec import ArchSpec, StageSpec

FIDELITY = Fidelity(100, 1)
MARKED = 16
"""Networks whose first stage has this many channels meet the evaluator's fault."""


def make_space(
    *, max_num_params: int | None = None, num_references: int = 2, num_layers: tuple[int, ...] = (1, 2, 3)
) -> StagewiseSpace:
    """Return networks of two stages, 36 for each pair of `num_layers`."""
    known = {f"reference {n}": _reference(n) for n in range(1, num_references + 1)}
    return StagewiseSpace(
        "test",
        tuple(StageChoices(num_layers, (8, 16, 24), ("fused",), (2, 4), (3,)) for _ in range(2)),
        Skeleton(stem_channels=8, head_channels=16, strides=((1, 2, 2),), train_image_size=32),
        bounds=Bounds(max_num_params=max_num_params),
        references=known,
    )


def _reference(num_layers: int) -> Params:
    values: dict[str, Value] = {"strides": "1-2-2"}
    for stage in ("s1", "s2"):
        values |= {f"{stage}_block": "fused", f"{stage}_expand_ratio": 2, f"{stage}_kernel_size": 3}
        values |= {f"{stage}_num_layers": num_layers, f"{stage}_out_channels": 8}
    return values


class AliasedSpace(SearchSpace):
    """Six configurations, three networks."""

    def __init__(self) -> None:
        super().__init__("aliased", {"num_layers": (1, 2, 3), "ignored": (0, 1)})

    def decode(self, params: Params) -> ArchSpec:
        stage = StageSpec("fused", 2, 3, 2, 8, int(params["num_layers"]))
        return ArchSpec(8, (stage,), 16, train_image_size=32)

    def encode(self, spec: ArchSpec) -> dict[str, Value]:
        return {"num_layers": spec.stages[0].num_layers, "ignored": 0}


@dataclass(frozen=True)
class Analytic:
    """Builds an evaluator that computes a measurement in closed form.

    Attributes:
        log: Gets a line "begin|end arch_id pid" when an evaluation begins and ends; "again|done arch_id#repeat pid" for
            a repeat.
        sleep_s: How long an evaluation takes.
        fault: What happens to marked networks.
        fault_at_repeats: It happens to repeats instead.
        start_fault: What happens while the evaluator is built.
    """

    log: Path
    sleep_s: float = 0.0
    fault: str = ""
    fault_at_repeats: bool = False
    start_fault: str = ""

    def __call__(self) -> Evaluate:
        if self.start_fault == "invalid":
            raise InvalidInputError("`data` must be readable, got 'nowhere'. Give another.")
        if self.start_fault == "die":
            os._exit(3)
        if self.start_fault == "die once" and not self.log.with_suffix(".died").exists():
            self.log.with_suffix(".died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.evaluate

    def evaluate(self, job: Job) -> Measurement:
        self._write("again" if job.repeat else "begin", job)
        marked = job.repeat > 0 if self.fault_at_repeats else job.spec.stages[0].out_channels == MARKED
        if marked:
            _fail(self.fault)
        time.sleep(self.sleep_s)
        measurement = measure(job.spec, job.seed, nan=marked and self.fault == "nan")
        self._write("done" if job.repeat else "end", job)
        return measurement if job.stop_rule is None else climb(measurement, job.stop_rule)

    def _write(self, what: str, job: Job) -> None:
        name = f"{job.spec.arch_id}#{job.repeat}" if job.repeat else job.spec.arch_id
        with self.log.open("a") as file:
            file.write(f"{what} {name} {os.getpid()}\n")


def _fail(fault: str) -> None:
    if fault == "raise":
        raise KeyError("no such\nlayer")
    if fault == "memory":
        raise MemoryError
    if fault == "diverge":
        raise DivergedError("training loss is nan")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "exit":
        os._exit(7)
    if fault == "hang":
        time.sleep(600)
    if fault == "take memory":
        held = [bytearray(2**24) for _ in range(1000)]  # Beyond what the worker may hold.
        raise AssertionError(len(held))


def measure(spec: ArchSpec, seed: int = 0, *, nan: bool = False) -> Measurement:
    """Return a measurement that follows from the cost of a network."""
    cost = complexity(spec, num_classes=10, in_channels=3)
    return Measurement(
        accuracy=float("nan") if nan else 1 - 10 / cost.num_params**0.5,
        accuracy_stderr=0.004,
        train_loss=1.0,
        step_time_s=cost.num_activations * 1e-8,
        step_time_spread_s=0.0,
        relative_step_time=cost.num_activations / 1e5,
        relative_step_time_spread=0.0,
        step_batch_size=32,
        step_image_size=spec.train_image_size,
        num_params=cost.num_params,
        relative_params=cost.num_params / 1e4,
        num_macs=cost.num_macs,
        peak_memory_bytes=None,
        fidelity=str(FIDELITY),
        seed=seed,
        device="cpu",
        device_name="",
        dtype="float32",
        torch_version="",
        train_s=0.0,
        timing_s=0.0,
        wall_s=0.1,
    )


def climb(measurement: Measurement, rule: StopRule) -> Measurement:
    """Return how a candidate ends whose rule is asked at every rung; its accuracy grows with the share."""
    for share in rule.rungs:
        accuracy = measurement.accuracy * share**0.5
        validated = Rung(share, round(100 * share), accuracy, 1.0, 50, 2.0 - accuracy, share, 0.01)
        rung = validated if rule.validates else replace(validated, accuracy=None, val_loss=None, num_val_images=0)
        now = replace(measurement, rungs=(*measurement.rungs, rung))
        if rule.stops(now):
            predicted, passed = rule.predict(now), (*measurement.rungs, validated)
            return replace(now, accuracy=accuracy, stopped=True, predicted_accuracy=predicted, rungs=passed)
        measurement = now
    return measurement


@dataclass(frozen=True)
class SamplerMaker:
    """Makes the sampler of one ask from the search's seed and the ask's number."""

    seed: int

    def __call__(self, number: int) -> RandomSampler:
        digest = hashlib.sha256(f"{self.seed}|{number}".encode()).digest()
        return RandomSampler(seed=int.from_bytes(digest[:4], "big"))


def open_study(path: Path | None = None, *, backend: JournalFileBackend | None = None) -> optuna.Study:
    """Open the study in a journal file, or one in memory."""
    if path is not None:
        backend = JournalFileBackend(str(path))
    storage = JournalStorage(backend) if backend is not None else None
    return optuna.create_study(
        study_name="test", storage=storage, directions=list(PARETO.directions), load_if_exists=True
    )


def search(
    study: optuna.Study,
    executor: Executor,
    *,
    budget: int,
    space: SearchSpace | None = None,
    events: list[Event] | None = None,
    objective: Objective = PARETO,
    warm_start: bool = True,
    make_sampler: SamplerMaker | None = None,
    common_seed: bool = True,
    prescreen: Prescreen | None = None,
    others: Others | None = None,
    noise_repeats: int = 0,
    prefilter: Prefilter | None = None,
    grace_s: float = GRACE_S,
    stopping: EarlyStopping | None = None,
) -> Finished:
    return search_loop(
        study,
        space or make_space(),
        budget=budget,
        objective=objective,
        executor=executor,
        make_sampler=make_sampler or SamplerMaker(0),
        fidelity=FIDELITY,
        seed=0,
        warm_start=warm_start,
        on_event=events.append if events is not None else lambda event: None,
        common_seed=common_seed,
        prescreen=prescreen,
        others=others,
        noise_repeats=noise_repeats,
        prefilter=prefilter,
        grace_s=grace_s,
        stopping=stopping,
    )


def ids(trials: Sequence[FrozenTrial]) -> list[str]:
    return [trial.user_attrs[ARCH_ID] for trial in trials]


def told(study: optuna.Study) -> list[tuple[str, str, list[float] | None]]:
    """Return network, origin and values of the candidates, in the order in which they were asked for."""
    return [(t.user_attrs[ARCH_ID], t.user_attrs[ORIGIN], t.values) for t in candidates(study)]


def log_lines(log: Path, what: str) -> list[tuple[str, int]]:
    """Return (arch_id, pid) of the evaluations that began or ended; of repeats (arch_id#repeat, pid)."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(arch_id, int(pid)) for kind, arch_id, pid in (line.split() for line in lines) if kind == what]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not reaped by its adoptive parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z" if Path("/proc").exists() else True
    except FileNotFoundError:
        return False


def measurements(study: optuna.Study) -> list[Measurement]:
    """Return what was measured of the candidates so far, also of those that were stopped early."""
    found = (any_measurement_of(trial) for trial in candidates(study))
    return [measurement for measurement in found if measurement is not None]
