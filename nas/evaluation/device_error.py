"""Telling errors after which a process can no longer use its accelerator; no torch is imported for it."""

import sys

_MARKS = ("cuda error", "cuda driver error", "hip error", "device-side assert", "cudnn error", "cublas_status_")


def is_device_error(error: BaseException) -> bool:
    """Return whether an error says that a kernel or the device itself failed.

    Such errors (illegal addresses, device-side assertions, a device that was lost) are sticky: every later call in the
    process fails with them, whichever candidate makes it. Ask `is_out_of_memory` first, which is not one.
    """
    torch = sys.modules.get("torch")  # If nobody imported it, the error is not torch's.
    if torch is None or not isinstance(error, RuntimeError):
        return False
    if isinstance(error, torch.AcceleratorError):
        return True
    message = str(error).lower()
    return any(mark in message for mark in _MARKS)
