"""Peak memory of a few training steps, on an accelerator or on the CPU under Linux."""

import ctypes
import gc
from collections.abc import Callable
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
        gc.collect()
        torch.accelerator.memory.reset_peak_memory_stats(device)
        before = torch.accelerator.memory.memory_allocated(device)
        work()
        torch.accelerator.synchronize(device)
        return int(torch.accelerator.memory.max_memory_allocated(device) - before)
    if not _CLEAR.exists():
        work()
        return None
    gc.collect()
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
