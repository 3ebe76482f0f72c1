"""Seconds that work takes on a device, from an idle device to an idle device."""

import time
from collections.abc import Callable

import torch

Stopwatch = Callable[[Callable[[], object]], float]
"""Does the work once and returns its seconds."""


def make_stopwatch(device: torch.device) -> Stopwatch:
    """Return a stopwatch by the device's own events where it times them, else by the clock of a synchronised device.

    On a CPU with one thread it goes by the time that the processor gave to this thread: what other processes took of
    the core meanwhile says nothing about the network.
    """
    if device.type == "cpu":
        return _by_processor
    return _by_events(device) if _times_events(device) else _by_clock(device)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was asked; without this a GPU's times are launch times."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _by_processor(work: Callable[[], object]) -> float:
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def _by_clock(device: torch.device) -> Stopwatch:
    def seconds(work: Callable[[], object]) -> float:
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - start

    return seconds


def _by_events(device: torch.device) -> Stopwatch:
    def seconds(work: Callable[[], object]) -> float:
        synchronize(device)
        start, end = (torch.Event(device, enable_timing=True) for _ in range(2))
        stream = torch.accelerator.current_stream(device)
        start.record(stream)
        work()
        end.record(stream)
        end.synchronize()
        return start.elapsed_time(end) / 1000

    return seconds


def _times_events(device: torch.device) -> bool:
    """Try it: torch cannot be asked, and a backend without timed events raises when one is made or read."""
    try:
        return _by_events(device)(lambda: None) >= 0
    except RuntimeError:
        return False
