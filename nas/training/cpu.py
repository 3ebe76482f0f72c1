"""A process that computes on the CPU: its threads, and how its C library hands out memory."""

import ctypes

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt(3)
_NEVER = 2**31 - 1
_LARGE_BYTES = 2**30


def prepare_cpu(num_threads: int | None = None) -> None:
    """Have this process train on the CPU as fast and as evenly as it can; of no use on an accelerator, and no harm.

    Args:
        num_threads: That it computes with; None leaves PyTorch's choice. Small networks train fastest with one thread
            a process, and several processes.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Have this process keep the memory that it frees, for as long as it runs; return whether the C library can do so.

    By default glibc gives large blocks back to the system as they are freed, so that every step faults its activations
    in again, page by page. Whether it does depends on what was freed before; so the same network takes up to a fifth
    longer in one process than in another (results/step_time). Blocks of a gigabyte and more are still given back, and
    an accelerator's memory is not concerned.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
