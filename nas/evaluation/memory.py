"""Peak memory of a few training steps, on an accelerator or on the CPU under Linux."""

import ctypes
import gc
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def peak_memory_bytes(work: Callable[[], object], device: torch.device) -> int | None:
    """Run `work` and return the most memory it held beyond what was held before; None where that cannot be told.

    On an accelerator this is what the allocator handed out. On Linux it is the growth of the process's resident
    memory, after free pages have been given back to the system; other work of the same process would be counted too.
    """
    if device.type != "cpu":
        gc.collect(1)
        torch.accelerator.memory.reset_peak_memory_stats(device)
        before = torch.accelerator.memory.memory_allocated(device)
        work()
        torch.accelerator.synchronize(device)
        return int(torch.accelerator.memory.max_memory_allocated(device) - before)
    if not _CLEAR.exists():
        work()
        return None
    gc.collect(1)  # a full collection takes a tenth of a second
    _return_free_pages()
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        work()
        return None
    resident = _status_bytes("VmRSS")
    work()
    return max(0, _status_bytes("VmHWM") - resident)


def _return_free_pages() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status_bytes(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0


def peak_memory_in_child(make: Callable[[], Callable[[], object]], device: torch.device) -> int | None:
    """Return `peak_memory_bytes` of some work in a fresh process, where nothing else moves the high-water mark.

    Args:
        make: Makes the work there; it must pickle. What it holds already is not counted.
        device: As `peak_memory_bytes`.

    Raises:
        MemoryError: If the process was ended, as the system does where memory is short.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(_peak_of, make, device).result()
        except BrokenProcessPool as error:
            raise MemoryError("the process in which memory was measured has been ended") from error


def _peak_of(make: Callable[[], Callable[[], object]], device: torch.device) -> int | None:
    return peak_memory_bytes(make(), device)
