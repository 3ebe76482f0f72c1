"""Trainings without timing: what a calibration asks of a worker. A network is trained from scratch and validated."""

import time
from dataclasses import dataclass

import torch

from nas.data import Dataset, load_dataset
from nas.evaluation.device import resolve_device
from nas.evaluation.lease import Lease
from nas.evaluation.training import device_lease, train_and_validate
from nas.evaluation.training_job import TrainingJob, TrainingResult
from nas.training.cpu import prepare_cpu


@dataclass(frozen=True)
class TrainingFactory:
    """Builds a `TrainingEvaluator` where it will run; plain data, so that it can be sent to a worker process.

    Attributes:
        data: Name or path of the data set.
        image_size: Pixels a side at which images are held; None means their own.
        val_images: Size of the validation split; None means the data set's default.
        data_seed: Seed of the split, the same for all trainings.
        device: For example "cpu" or "cuda:0".
    """

    data: str
    image_size: int | None
    val_images: int | None
    data_seed: int
    device: str

    def __call__(self) -> "TrainingEvaluator":
        device = resolve_device(self.device)
        if device.type == "cpu":
            prepare_cpu(num_threads=1)
        dataset = load_dataset(
            self.data, image_size=self.image_size, val_images=self.val_images, seed=self.data_seed, download=False
        )
        return TrainingEvaluator(dataset, device, device_lease(device))


class TrainingEvaluator:
    """Trains networks on one data set and one device, by the recipe that the job names.

    With the proxy's recipe it does what `ProxyEvaluator.train` does, to the last bit.

    Args:
        dataset: Moved to the device and held there.
        device: Where training runs.
        lease: On that device: training pauses while a search times steps.
    """

    def __init__(self, dataset: Dataset, device: torch.device, lease: Lease) -> None:
        self.dataset, self.device = dataset.to(device), device
        self._lease = lease

    def __call__(self, job: TrainingJob) -> TrainingResult:
        """Train one network and validate it.

        Raises:
            DivergedError: If its loss does not stay finite.
            torch.OutOfMemoryError: If it does not fit.
        """
        start, processor, paused_s = time.perf_counter(), time.thread_time(), self._lease.paused_s
        found, _ = train_and_validate(
            job.spec,
            job.fidelity,
            job.seed,
            recipe=job.recipe,
            dataset=self.dataset,
            device=self.device,
            lease=self._lease,
        )
        assert found is not None, "nothing stops it"
        return TrainingResult(
            accuracy=found.accuracy,
            val_loss=found.loss,
            num_val_images=found.num_images,
            train_cpu_s=time.thread_time() - processor,
            wall_s=time.perf_counter() - start - (self._lease.paused_s - paused_s),
        )
