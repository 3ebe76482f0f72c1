"""Where candidates are evaluated: in this process, in workers of this machine, on a cluster."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nas.config import SearchSettings
from nas.config.places import parse_devices
from nas.evaluation.table import Table
from nas.execution import (
    Executor,
    InProcessExecutor,
    WorkerPool,
    reserve_timing_gpu,
    visible_gpus,
    worker_environments,
)

if TYPE_CHECKING:
    from nas.evaluation.proxy_factory import ProxyFactory
    from nas.execution.ray_cluster import RayCluster


def find_cluster(settings: SearchSettings) -> "RayCluster | None":
    """Return the cluster that was asked for, if one was; it has been seen to be there, but is not connected yet."""
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


def make_executor(settings: SearchSettings, factory: "ProxyFactory | Table", cluster: "RayCluster | None") -> Executor:
    """Return what runs candidates: a cluster, worker processes of this machine, or this process."""
    if isinstance(factory, Table):
        if not settings.workers:
            return InProcessExecutor(factory)
        return WorkerPool(factory, worker_environments("cpu", settings.workers))
    if cluster is not None:
        from nas.execution.ray_executor import RayExecutor

        return RayExecutor(cluster, factory, settings.workers, timeout_s=settings.trial_timeout)
    if settings.workers == 0:
        return InProcessExecutor(factory)
    environments, has_timing_gpu = local_environments(
        factory.device,
        settings.workers,
        is_named=settings.device != "auto",
        devices=None if settings.devices is None else parse_devices(settings.devices),
        timing_device=factory.timing_device,
    )
    if has_timing_gpu:
        factory = replace(factory, timing_device="cuda:1")
    return WorkerPool(
        factory, environments, timeout_s=settings.trial_timeout, memory_bytes=settings.worker_memory_bytes
    )


def local_environments(
    device: str,
    num_workers: int | None,
    *,
    is_named: bool,
    devices: Sequence[int] | None = None,
    timing_device: str | None = None,
) -> tuple[list[dict[str, str]], bool]:
    """Return the environment of each worker process of this machine, and whether a GPU is set apart for timing.

    Args:
        device: Where to train, for example "cpu" or "cuda:0".
        num_workers: None means one per device that is dealt out, or per processor core.
        is_named: The user named the device: all workers share it. Otherwise each gets one of its kind.
        devices: Indices of the GPUs to deal out; None means all.
        timing_device: Where steps are timed, if elsewhere. Workers see it as their second GPU.
    """
    from nas.evaluation.device import num_devices

    kind, _, _ = device.partition(":")
    count = 1 if is_named and kind != "cpu" else num_devices(kind)
    gpus = visible_gpus(count) if kind == "cuda" and (count > 1 or devices is not None) else []
    gpus, timing_gpu = reserve_timing_gpu(gpus, timing_device, devices)
    return worker_environments(kind, num_workers or len(gpus) or count, gpus, timing_gpu), timing_gpu is not None
