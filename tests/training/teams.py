"""Several processes that train together, as tests start them."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import torch

from nas.training.launch import Launch


def start_team(size: int, task: Callable[..., Any], *args: object) -> "list[Future[Any]]":
    """Call `task(launch, *args)` in processes of their own; return what will come of each, in the order of ranks."""
    # Processes of a server that has imported torch start at once, and with none of this process's threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nas.training.parallel", "nas.training.course", "nas.models", "tests.stripes"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pool = ProcessPoolExecutor(size, mp_context=context)
    futures = [pool.submit(_run, Launch(rank, rank, size), port, task, args) for rank in range(size)]
    pool.shutdown(wait=False)
    return futures


def in_team(size: int, task: Callable[..., Any], *args: object) -> list[Any]:
    """Return what `task` returned in each process."""
    return [future.result(timeout=120) for future in start_team(size, task, *args)]


def _run(launch: Launch, port: int, task: Callable[..., Any], args: tuple[object, ...]) -> Any:
    torch.set_num_threads(1)
    said = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": launch.rank, "WORLD_SIZE": launch.size}
    os.environ.update({name: str(value) for name, value in said.items()})
    return task(launch, *args)
