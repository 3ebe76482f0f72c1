"""Everything that a step's seconds depend on, as plain data to look a timing up by."""

import torch

from nas.evaluation.device import device_name
from nas.evaluation.gpu_state import driver_version
from nas.evaluation.timed_step import Network, StepFactory
from nas.training.recipe import Recipe

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
        **(_extras(recipe) if training else {}),
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


def _extras(recipe: Recipe) -> TimingKey:
    """Return what a step does beyond a plain one; nothing for that, so that what was timed before is found."""
    extras: TimingKey = {
        "accumulate": recipe.accumulate if recipe.accumulate > 1 else None,
        "average": True if recipe.ema_decay is not None else None,
        "clips": True if recipe.clip_grad_norm is not None else None,
    }
    return {name: value for name, value in extras.items() if value is not None}
