"""Everything that a step's seconds depend on, as plain data to look a timing up by."""

import torch

from nas.evaluation.device import device_name
from nas.evaluation.gpu_state import driver_version
from nas.evaluation.timed_step import Network, StepFactory

TIMER_VERSION = 1
"""Raise it when times come out differently from what the timer did before."""

TimingKey = dict[str, str | int | bool | None]


def timing_key(steps: StepFactory, network: Network, reference: Network) -> TimingKey | None:
    """Return the key of one network's timing; None where the network or the reference has no identity."""
    if network.identity is None or reference.identity is None:
        return None
    setup, recipe, device = steps.setup, steps.recipe, steps.device
    training = setup.kind == "training"
    return {
        "timer": TIMER_VERSION,
        "network": network.identity,
        "image_size": steps.image_size(network),
        "reference": reference.identity,
        "reference_image_size": steps.image_size(reference),
        "num_classes": steps.num_classes,
        "in_channels": steps.in_channels,
        "batch_size": setup.batch_size,
        "dtype": str(steps.dtype).removeprefix("torch."),
        "memory_format": setup.memory_format,
        "mode": setup.mode,
        "kind": setup.kind,
        "optimizer": recipe.optimizer if training else None,
        "momentum": recipe.momentum > 0 if training else None,
        "device": device.type,
        "device_name": device_name(device),
        "driver": driver_version(device),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,  # type: ignore[no-untyped-call]
        "cudnn_benchmark": torch.backends.cudnn.benchmark if device.type == "cuda" else None,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "torch": torch.__version__,
        "num_threads": torch.get_num_threads(),
    }
