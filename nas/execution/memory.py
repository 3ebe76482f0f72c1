"""Memory of worker processes: a limit on it, and what the system does where it runs out. Linux; elsewhere nothing."""

import contextlib
import re
from pathlib import Path

from nas.errors import invalid

_OOM_SCORE = 500
"""Of 1000: the system counts half of its memory on top of what a worker holds when it chooses what to kill."""


def prefer_to_be_killed() -> None:
    """Have the system kill this process, rather than the driver or others, when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def limit_memory(num_bytes: int) -> None:
    """Let this process hold at most so much data; what it asks for beyond is refused, as an error of the one who asks.

    What counts is the memory that was set aside, as for `ulimit -d`, without what is only reserved: an accelerator's
    driver reserves far more addresses than there is memory, so that a limit on these would not do.

    Raises:
        InvalidInputError: If it holds as much already.
    """
    import resource

    held = _held_bytes()
    if held >= num_bytes:
        rule = f"above the {held / 2**30:.2f} GiB that a worker holds before its first candidate"
        raise invalid("worker_memory", rule, f"{num_bytes / 2**30:.2f} GiB", "Raise it.")
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = num_bytes if most == resource.RLIM_INFINITY else min(num_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, most))


def _held_bytes() -> int:
    found = re.search(r"^VmData:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def num_system_kills() -> int:
    """Return how many processes the system has killed for lack of memory since it started; 0 where it does not say."""
    try:
        found = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
