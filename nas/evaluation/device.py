"""Names of devices, checked before any work."""

import os

import torch

from nas.errors import invalid
from nas.evaluation.processor import processor_name
from nas.training.launch import Launch


def resolve_device(name: str, setting: str = "device") -> torch.device:
    """Return the device called `name`, for example "cpu", "cuda:0" or "auto" (an accelerator where there is one).

    Args:
        name: Of the device.
        setting: What messages call it.

    Raises:
        InvalidInputError: If torch knows no such device or this machine has none.
    """
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return found or torch.device("cpu")
    here = f"cpu, {found.type}:0" if found else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise invalid(setting, "a device name like cpu or cuda:0", name, f"This machine has: {here}.") from None
    if device.type == "cpu":
        return torch.device("cpu")
    if found is None or device.type != found.type or (device.index or 0) >= torch.accelerator.device_count():
        raise invalid(setting, "on this machine", name, f"This machine has: {here}.")
    return device


def resolve_own_device(name: str, launch: Launch) -> torch.device:
    """Return the device of one of several processes: each has an accelerator of its own, or all have the CPU.

    Args:
        name: As for `resolve_device`; only its kind may be said where there are several processes.
        launch: Which process this is.

    Raises:
        InvalidInputError: If this machine has no such device, or fewer accelerators than processes.
    """
    device = resolve_device(name)
    if launch.size == 1 or device.type == "cpu":
        return device
    if name not in ("auto", device.type):
        todo = "Each process takes its own; CUDA_VISIBLE_DEVICES chooses among them."
        raise invalid("device", f"auto, {device.type} or cpu with several processes", name, todo)
    if launch.local_rank >= num_devices(device.type):
        rule = f"at most {num_devices(device.type)}, the accelerators of this machine"
        raise invalid("nproc-per-node", rule, launch.local_rank + 1, "Start fewer, or add --device cpu.")
    torch.accelerator.set_device_index(launch.local_rank)
    return torch.device(device.type, launch.local_rank)


def device_name(device: torch.device) -> str:
    """Return the hardware's name, for example "NVIDIA H100 80GB HBM3" or "AMD EPYC 7763"."""
    if device.type == "cpu":
        return processor_name()
    return str(torch.get_device_module(device).get_device_name(device))


def physical_name(device: torch.device) -> str:
    """Return a name for the hardware that is the same in all processes: CUDA_VISIBLE_DEVICES renumbers GPUs."""
    if device.type == "cpu":
        return "cpu"
    index = device.index if device.index is not None else torch.accelerator.current_device_index()
    return f"cuda-{torch.cuda.get_device_properties(index).uuid}" if device.type == "cuda" else f"{device.type}-{index}"


def num_devices(kind: str) -> int:
    """Return how many accelerators there are, or how many processors this process may use for "cpu"."""
    if kind != "cpu":
        return torch.accelerator.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
