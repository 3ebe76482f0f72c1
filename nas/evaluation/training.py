"""How the evaluation trains a network: for the proxy, and for the trainings that the proxy is held against."""

from functools import partial

import torch

from nas.data import Dataset
from nas.evaluation.device import physical_name
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.lease import Lease, open_lease
from nas.evaluation.rungs import RungWatch
from nas.evaluation.stopwatch import synchronize
from nas.models import build_model
from nas.spec import ArchSpec
from nas.training.checkpoint import Checkpoint
from nas.training.loop import Trainer, fit, normaliser, reestimate_batch_norm
from nas.training.recipe import Recipe
from nas.training.validation import Validation, validate


def device_lease(device: torch.device) -> Lease:
    """Return the lease on a device, whose queued work is awaited before the device is left to others."""
    return open_lease(physical_name(device), partial(synchronize, device))


def train_and_validate(
    spec: ArchSpec,
    fidelity: Fidelity,
    seed: int,
    *,
    recipe: Recipe,
    dataset: Dataset,
    device: torch.device,
    lease: Lease,
    checkpoint: Checkpoint | None = None,
    watch: RungWatch | None = None,
) -> tuple[Validation | None, float]:
    """Train `spec` from scratch and validate it, pausing between batches while another process times steps.

    Where `checkpoint` has kept an earlier attempt, training goes on from there.

    Returns:
        How good it is on the validation split, None where `watch` stopped it, and the training loss at the end.

    Raises:
        DivergedError: If its loss does not stay finite.
        torch.OutOfMemoryError: If it does not fit.
    """
    pause = lease.yield_
    with lease.shared():
        torch.manual_seed(seed)
        trainer = Trainer(build_model(spec, dataset.num_classes, dataset.in_channels), recipe, device)
        data = dataset.train.subset(min(fidelity.train_images, len(dataset.train)))
        normalise = normaliser(dataset, fidelity.image_size or spec.train_image_size)
        if watch is not None:
            watch.begin(trainer, data, fidelity.epochs, normalise)
        loss = fit(trainer, data, fidelity.epochs, normalise, seed, watch, between_batches=pause, keeper=checkpoint)
        validation = None
        if watch is None or not watch.stopped:
            reestimate_batch_norm(trainer.model, data, normalise, between_batches=pause)
            validation = validate(trainer.model, dataset.val, normalise, pause)
    if checkpoint is not None:
        checkpoint.remove()
    return validation, loss
