"""Telling a lack of memory from other errors; no torch is imported for it."""

import sys


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory of the host or of a device did not suffice."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")  # If nobody imported it, the error is not torch's.
    if torch is None:
        return False
    if isinstance(error, torch.OutOfMemoryError):
        return True
    # On the CPU and on MPS torch raises a plain RuntimeError.
    message = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in message or "out of memory" in message)
