"""`RayExecutor`: jobs run in actors on the nodes of a Ray cluster. Imports Ray, so import it when there is one."""

import logging
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from nas.errors import InvalidInputError, WorkerStartError
from nas.evaluation.job import EvaluatorFactory, Job
from nas.execution.attempt import Attempt
from nas.execution.cluster import Resources, describe_node
from nas.execution.job import Failure, FailureKind, Outcome, with_attempts
from nas.execution.patience import MAX_TICK_S, Patience
from nas.execution.ray_cluster import RayCluster
from nas.execution.ray_worker import RayWorker, Reply
from nas.execution.worker import Ready, Refused, relay

logger = logging.getLogger(__name__)

_LOOK_S = 2.0
"""How often the cluster's nodes are looked at."""
_ADD_NODE_S = 60.0
"""How long a cluster may have no place for any trial before the search ends."""
_TELL_S = 30.0
_MAX_STARTS = 2


@dataclass(slots=True)
class _Worker:
    """The driver's view of one actor.

    Attributes:
        actor: Its handle.
        call: What it has been asked for and not yet returned, to start or a job; None when it is idle.
        nodes: That were alive when it was asked for.
        node: On which it is, once it is ready; "" before.
        attempt: At the job that it has.
        since_s: When it was given that, by the executor's patience.
    """

    actor: Any
    call: "ray.ObjectRef[Reply] | None"
    nodes: frozenset[str]
    node: str = ""
    attempt: Attempt | None = None
    since_s: float = 0.0


class RayExecutor:
    """An `Executor` over one persistent actor for each place that the cluster has for a trial.

    It grows and shrinks with the cluster. A job whose actor dies, hangs or loses its device is given to another actor
    once, then it has failed. Ray places actors and watches over nodes; the driver keeps all state, and actors none but
    their evaluator.

    Args:
        cluster: Entered; it stays open when the executor closes.
        factory: Builds the evaluator in each actor.
        num_workers: Most actors at a time; None for as many as there are places.
        timeout_s: How long an actor may take for a job before it is taken to hang; None derives it from those that
            ended (see `Patience`).
    """

    def __init__(
        self,
        cluster: RayCluster,
        factory: EvaluatorFactory,
        num_workers: int | None = None,
        *,
        timeout_s: float | None = None,
    ) -> None:
        self._cluster, self._factory, self._num_workers = cluster, factory, num_workers
        self._patience = Patience(timeout_s)
        self._waiting: deque[Attempt] = deque()
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._look_at = self._start_at = 0.0
        self._had_place_at = self._told_at = time.monotonic()

    @property
    def capacity(self) -> int:
        """As many as there are actors that are ready; at least 1, so that a search waits for the next one."""
        return max(1, sum(worker.node != "" for worker in self._workers))

    def __enter__(self) -> Self:
        """Wait until one actor is ready, so that bad input is known before any job is given out."""
        try:
            while not any(worker.node for worker in self._workers):
                self._keep_up()
                self._receive(_LOOK_S)
        except BaseException:
            self.close(cancel=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=kind is not None)

    def submit(self, job: Job) -> None:
        self._waiting.append(Attempt(job))
        self._hand_out()

    def next_outcome(self, timeout: float) -> tuple[Job, Outcome] | None:
        deadline = time.monotonic() + timeout
        while True:
            self._keep_up()
            self._hand_out()
            left = max(0.0, deadline - time.monotonic())
            ended = self._receive(min(left, MAX_TICK_S)) or self._find_hanging()
            if ended is not None or left == 0:
                return ended

    def close(self, cancel: bool) -> None:  # noqa: ARG002 - an actor has nothing to finish but a job nobody waits for
        workers, self._workers = self._workers, []
        self._waiting.clear()
        for worker in workers:
            _end(worker)

    def _keep_up(self) -> None:
        """Have as many actors as the cluster has places for."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        nodes = self._cluster.nodes()
        self._drop_idle_of_lost(nodes)
        places = sum(map(self._cluster.demand.places, nodes.values()))
        self._check_places(places, nodes, now)
        wanted = places if self._num_workers is None else min(places, self._num_workers)
        pending = [worker for worker in self._workers if not worker.node]
        for worker in pending[: max(0, len(self._workers) - wanted)]:
            self._remove(worker)
        while len(self._workers) < wanted and now >= self._start_at:
            self._workers.append(self._start(nodes))

    def _check_places(self, places: int, nodes: dict[str, Resources], now: float) -> None:
        """Say what the search waits for; raise once that is hopeless."""
        if places or any(worker.node for worker in self._workers):
            self._had_place_at = now
        elif now - self._had_place_at > _ADD_NODE_S:
            found = "; ".join(map(describe_node, nodes.values())) or "nothing"
            raise WorkerStartError(
                f"The cluster has had no node with {self._cluster.demand} for {_ADD_NODE_S:.0f} s, only {found}. "
                "Add one and resume the search."
            )
        if any(worker.node for worker in self._workers):
            self._told_at = now
        elif now - self._told_at > _TELL_S:
            self._told_at = now
            logger.warning("Still waiting for a place on the cluster: trials ask for %s.", self._cluster.demand)

    def _drop_idle_of_lost(self, nodes: dict[str, Resources]) -> None:
        """Forget idle actors of lost nodes; those that have a job are noticed by the call that fails."""
        for worker in list(self._workers):
            if worker.call is None and worker.node not in nodes:
                self._remove(worker)

    def _start(self, nodes: dict[str, Resources]) -> _Worker:
        demand = self._cluster.demand
        level = logging.getLogger().getEffectiveLevel()
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": demand.num_gpus, "max_restarts": 0}
        if demand.memory_bytes:
            options["memory"] = demand.memory_bytes
        actor: Any = ray.remote(**options)(RayWorker).remote(level)
        return _Worker(actor, actor.start.remote(self._factory), frozenset(nodes))

    def _hand_out(self) -> None:
        idle = (worker for worker in self._workers if worker.call is None)
        while self._waiting and (worker := next(idle, None)) is not None:
            worker.attempt, worker.since_s = self._waiting.popleft(), self._patience.now
            worker.call = worker.actor.run.remote(worker.attempt.job)

    def _receive(self, timeout: float) -> tuple[Job, Outcome] | None:
        """Wait for one call to return, and take what it did."""
        calls = {worker.call: worker for worker in self._workers if worker.call is not None}
        if not calls:
            time.sleep(min(timeout, 0.1))
            return None
        done, _ = ray.wait(list(calls), num_returns=1, timeout=timeout)
        return self._take(calls[done[0]]) if done else None

    def _take(self, worker: _Worker) -> tuple[Job, Outcome] | None:
        assert worker.call is not None, "it has returned"
        try:
            reply = ray.get(worker.call)
        except RayError as error:
            return self._lose(worker, *_how_it_ended(error))
        worker.call = None
        for record in reply.records:
            relay(record)
        match reply.result:
            case Ready():
                worker.node, self._failed_starts = reply.node, 0
                return None
            case Refused(message):
                raise InvalidInputError(message)
            case Failure(kind="device error", reason=reason):
                return self._lose(worker, "device error", reason.removeprefix("device error: "))
            case outcome:
                attempt, worker.attempt = worker.attempt, None
                assert attempt is not None, "a worker returns an outcome only for a job"
                if isinstance(outcome, Failure):
                    return attempt.job, outcome
                self._patience.learn(self._patience.now - worker.since_s)
                return attempt.job, with_attempts(outcome, attempt.number)

    def _find_hanging(self) -> tuple[Job, Outcome] | None:
        """Part with one actor that has taken too long for its job, if there is one."""
        now_s, limit_s = self._patience.now, self._patience.limit_s
        for worker in self._workers:
            if worker.attempt is not None and now_s - worker.since_s > limit_s:
                return self._lose(worker, "timed out", f"no result after {now_s - worker.since_s:.0f} s")
        return None

    def _lose(self, worker: _Worker, kind: FailureKind, how: str) -> tuple[Job, Outcome] | None:
        """Part with an actor that is dead or of no more use; return its job as failed if it had been lost before."""
        self._remove(worker)
        attempt = worker.attempt
        if attempt is None:
            self._count_failed_start(worker, how)
            return None
        again = attempt.lost(Failure(kind, f"{kind}: {how}"))
        if isinstance(again, Failure):
            return attempt.job, again
        logger.warning("Trial %d lost its worker (%s: %s); another takes it.", attempt.job.number, kind, how)
        self._waiting.appendleft(again)
        return None

    def _count_failed_start(self, worker: _Worker, how: str) -> None:
        if worker.nodes - set(self._cluster.nodes()):
            return  # It may have gone with a node, which says nothing about the next one.
        self._failed_starts += 1
        if self._failed_starts >= _MAX_STARTS and not any(other.node for other in self._workers):
            raise WorkerStartError(
                f"Workers on the cluster end before they are ready to evaluate, the last one because {how}. "
                "Every node needs the same nas, torch and Ray as this one."
            )
        logger.warning("A worker could not be started because %s; the next attempt is in %.0f s.", how, _TELL_S)
        self._start_at = time.monotonic() + (_TELL_S if self._failed_starts >= _MAX_STARTS else 0.0)

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._look_at = 0.0
        _end(worker)


def _end(worker: _Worker) -> None:
    try:
        ray.kill(worker.actor)
    except (RayError, ValueError, ConnectionError) as error:  # The connection may be what was lost.
        logger.debug("An actor could not be ended: %s", error)


def _how_it_ended(error: RayError) -> tuple[FailureKind, str]:
    """Return why an actor is lost, as what kind of failure and in words after "because"."""
    if isinstance(error, OutOfMemoryError):
        return "out of memory", "Ray ended it when its node ran out of memory"
    if isinstance(error, RayTaskError):
        cause = error.cause
        return "worker died", f"of {type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
    if "node" in str(error).partition("The actor is dead because")[2].partition(".")[0]:
        return "worker died", "its node was lost"
    return "worker died", "its process ended"
