"""`RayCluster`: a connection to a Ray cluster, or a cluster of the search's own on this machine. Needs `cluster`."""

import importlib.util
import logging
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from nas.errors import ClusterError, invalid
from nas.execution.cluster import Demand, Resources, choose_demand

if TYPE_CHECKING:
    import ray

    from nas.data import Dataset

logger = logging.getLogger(__name__)

_KNOCK_S = 10.0
_TRY_S = 60.0
_PATIENCE = {
    "RAY_gcs_rpc_server_connect_timeout_s": "5",
    "RAY_py_gcs_connect_timeout_s": "10",
    "RAY_NUM_REDIS_GET_RETRIES": "1",
}
"""Without these Ray tries for minutes to talk to an address where something else than Ray listens."""


class RayCluster:
    """A context manager: entering it connects, and finds out what trials can reserve.

    A cluster that was there stays up when it is left; one that was started here, of this machine's processors and GPUs
    and reachable from this machine alone, ends.

    Args:
        address: "local" starts a cluster; "auto" is the one that this machine is a node of; else "host:port" of its
            head, from one of its nodes, or "ray://host:port" from anywhere, through Ray's client server.
        device: What trials run on: "cpu", "cuda", or "auto" for GPUs where the cluster has any.
        gpus_per_trial: Share of a GPU; None for a whole one.
        memory_per_trial: Bytes that each trial reserves; 0 for none.
        num_workers: Workers that a local cluster must have processors for; None for one per processor.

    Attributes:
        demand: What a trial reserves; known once it is entered.
    """

    def __init__(
        self,
        address: str,
        *,
        device: str = "auto",
        gpus_per_trial: float | None = None,
        memory_per_trial: int = 0,
        num_workers: int | None = None,
    ) -> None:
        self.address = address
        self.demand = Demand()
        self._asked = device, gpus_per_trial, memory_per_trial
        self._num_cpus = num_workers or len(os.sched_getaffinity(0))

    def check(self) -> None:
        """Raise InvalidInputError if Ray is missing or nothing listens at the address; within seconds."""
        if importlib.util.find_spec("ray") is None:
            raise invalid("cluster", "left out where Ray is missing", self.address, 'Run: pip install "nas[cluster]"')
        if self.address not in ("local", "auto"):
            _knock(self.address)

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            InvalidInputError: If Ray is missing, the address does not answer, or no node could hold a trial.
        """
        self.check()
        if self.address == "local":
            _start(self._num_cpus)
        else:
            _connect(self.address)
        try:
            self.demand = choose_demand(self.nodes().values(), *self._asked)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster, which ends the actors of this connection, and end a local one. Twice is harmless."""
        import ray

        ray.shutdown()

    def nodes(self) -> dict[str, Resources]:
        """Return what each node that is alive has in all, by the node's id."""
        return {node["NodeID"]: node["Resources"] for node in _nodes()}

    def share(self, dataset: "Dataset") -> "SharedDataset":
        """Put a data set where every node can get it, once."""
        import ray

        parts = (dataset.train.held(), dataset.val.held())
        images = [array.numpy() for part in parts for array in (part.images, part.labels)]
        about = (dataset.name, dataset.class_names, dataset.fingerprint, dataset.num_skipped, dataset.cropped)
        return SharedDataset(ray.put((images, about)))


@dataclass(frozen=True)
class SharedDataset:
    """Gets a data set out of the cluster's object store: a node fetches it once, and its workers share that memory.

    They see the very bytes that the driver decoded and fingerprinted; a node needs neither files nor network for them.
    """

    content: "ray.ObjectRef[Any]"

    def __call__(self) -> "Dataset":
        import ray
        import torch

        from nas.data import Dataset
        from nas.data.dataset import ImageSet

        images, (name, *about) = ray.get(self.content)
        with warnings.catch_warnings():
            # The shared memory cannot be written to, which torch warns of; nothing writes to images.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors = [torch.from_numpy(array) for array in images]
        train, val = ImageSet(*tensors[:2]), ImageSet(*tensors[2:])
        return Dataset(name, train, val, *about)


def _nodes() -> list[dict[str, Any]]:
    import ray

    list_nodes: Any = ray.nodes  # It has no types.
    return [node for node in list_nodes() if node["Alive"]]


def _start(num_cpus: int) -> None:
    """Start a cluster that listens on 127.0.0.1 alone, has no dashboard and reports to nobody."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    with _loopback():
        ray.init("local", num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, configure_logging=False)
    _keep_quiet()
    hosts = {node["NodeManagerAddress"] for node in _nodes()}
    if not hosts <= {"127.0.0.1", "::1"}:
        ray.shutdown()
        raise ClusterError(
            f"Ray listens on {', '.join(sorted(hosts))} instead of this machine alone; try another version."
        )


@contextmanager
def _loopback() -> Iterator[None]:
    """Have Ray start its processes on 127.0.0.1, as it does where it knows no clusters; it has no setting for this."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _connect(address: str) -> None:
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)  # Read when Ray is first imported.
    if "RAY_AUTH_MODE" not in os.environ and _has_token() and _asks_for_token(address):
        os.environ["RAY_AUTH_MODE"] = "token"
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        ray.shutdown()
        raise invalid("cluster", "a Ray cluster that answers", address, _why_not(error)) from error
    _keep_quiet()


def _has_token() -> bool:
    """Return whether this machine has a token for Ray's clusters: `ray start` asks for it by default where it has."""
    named = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or Path("~/.ray/auth_token").expanduser().is_file()


def _asks_for_token(address: str) -> bool:
    """Return whether a cluster turns those away that show no token.

    One that shows a token expects it of others too, and would turn the workers of a cluster without tokens away. Ray
    decides once in a process, so another process tries. A client server only takes a token or no notice of it.
    """
    if address.startswith("ray://"):
        return True
    command = [sys.executable, "-c", "import ray, sys; ray.init(sys.argv[1])", address]
    without = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    try:
        tried = subprocess.run(command, env=without, capture_output=True, text=True, timeout=_TRY_S)  # noqa: S603
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode != 0 and "uthenticat" in tried.stderr


def _why_not(error: Exception) -> str:
    if "uthenticat" in f"{error} {error.__cause__}":
        return "It asks for a token that this machine does not have: `ray get-auth-token` prints it on the cluster."
    reason = " ".join(str(error).split()).rstrip(".")
    return f"{reason[:300]}."


def _knock(address: str) -> None:
    """Raise InvalidInputError unless something listens at an address; Ray takes much longer to find out."""
    place = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        socket.create_connection((place.hostname, place.port), timeout=_KNOCK_S).close()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        todo = f"{reason[:1].upper()}{reason[1:]}: is `ray start --head` running there?"
        raise invalid("cluster", "a Ray cluster that answers", address, todo) from error


def _keep_quiet() -> None:
    """Send what Ray's daemons report to our log: Ray prints it to stdout, where results go, and has no setting."""
    from ray._private import worker

    def report(data: dict[str, Any], ignore_prefix: bool = False) -> None:  # noqa: ARG001 - Ray passes both
        for line in data.get("lines", []):
            logger.info("Ray: %s", line)

    worker.print_to_stdstream = report
