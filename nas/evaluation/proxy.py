"""The proxy: a candidate is built, counted, timed, trained briefly and validated."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from nas.data import Dataset, load_dataset
from nas.evaluation.complexity import count_macs, count_params
from nas.evaluation.device import device_name, physical_name, resolve_device
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Evaluate, Job
from nas.evaluation.lease import Lease, open_lease
from nas.evaluation.measurement import Measurement
from nas.evaluation.step_setup import StepSetup
from nas.evaluation.step_time import StepTimer
from nas.evaluation.stopwatch import synchronize
from nas.evaluation.timing_cache import TimingCache
from nas.evaluation.timing_statistics import Effort
from nas.models import build_model
from nas.spec import ArchSpec
from nas.training.loop import Trainer, compute_dtype, fit, normaliser, reestimate_batch_norm
from nas.training.recipe import Recipe
from nas.training.validation import accuracy_stderr, validate

PROXY_RECIPE = Recipe(flip=False, shift=0)
"""Chosen by measurement: results/fashion_hard/README.md."""

PROXY_EFFORT = Effort(max_blocks=9, max_s=1.0)
"""A trial is some 200 steps of training and validation; what share timing takes is in results/step_time/README.md."""


@dataclass(frozen=True)
class ProxyFactory:
    """Builds a `ProxyEvaluator` where it will run; plain data, so that it can be sent to a worker process.

    Attributes:
        data: Name or path of the data set.
        image_size: Pixels a side at which images are held; None means their own.
        val_images: Size of the validation split; None means the data set's default.
        data_seed: Seed of the split.
        reference: The network that step time and parameters are relative to.
        device: For example "cpu" or "cuda:0".
        timing_device: Where steps are timed; None means on `device`. As the process that calls this numbers devices.
        recipe: Of proxy training.
        setup: What a timed step is; None means a training step of the recipe's batch size at the spec's image size.
        timings: File in which timings are kept and looked up; None for nowhere.
    """

    data: str
    image_size: int | None
    val_images: int | None
    data_seed: int
    reference: ArchSpec
    device: str
    timing_device: str | None = None
    recipe: Recipe = PROXY_RECIPE
    setup: StepSetup | None = None
    timings: Path | None = None

    def __call__(self) -> Evaluate:
        device = resolve_device(self.device)
        timing_device = device if self.timing_device is None else resolve_device(self.timing_device, "timing_device")
        if "cpu" in (device.type, timing_device.type):
            # Small networks train fastest with one thread a process, and several processes.
            torch.set_num_threads(1)
        dataset = load_dataset(
            self.data, image_size=self.image_size, val_images=self.val_images, seed=self.data_seed, download=False
        )
        return ProxyEvaluator(
            dataset,
            self.reference,
            device,
            self.recipe,
            timing_device=timing_device,
            setup=self.setup,
            cache=TimingCache(self.timings) if self.timings is not None else None,
        )


class ProxyEvaluator:
    """Measures candidates on one data set and one device.

    Work on a device is done under its lease: other processes of the toolkit pause while steps are timed.

    Args:
        dataset: Moved to the device and held there.
        reference: The network that step time and parameters are relative to.
        device: Where everything runs.
        recipe: Of proxy training.
        timing_device: Where steps are timed; by default on `device`.
        setup: What a timed step is; None means a training step of the recipe's batch size at the spec's image size.
        cache: Where timings are kept.
    """

    def __init__(
        self,
        dataset: Dataset,
        reference: ArchSpec,
        device: torch.device,
        recipe: Recipe = PROXY_RECIPE,
        *,
        timing_device: torch.device | None = None,
        setup: StepSetup | None = None,
        cache: TimingCache | None = None,
    ) -> None:
        self.dataset, self.reference, self.device, self.recipe = dataset.to(device), reference, device, recipe
        self._reference_params = count_params(self._build(reference))
        self.timing_device = timing_device or device
        self._lease = _device_lease(device)
        same = physical_name(self.timing_device) == physical_name(device)
        self._timing_lease = self._lease if same else _device_lease(self.timing_device)
        self.setup = setup or StepSetup(batch_size=recipe.batch_size)
        self._timer = StepTimer(
            reference,
            self.setup,
            num_classes=dataset.num_classes,
            in_channels=dataset.in_channels,
            recipe=recipe,
            device=self.timing_device,
            effort=PROXY_EFFORT,
            cache=cache,
            exclusive=self._timing_lease.exclusive,
        )

    def __call__(self, job: Job) -> Measurement:
        """Measure one candidate.

        Raises:
            DivergedError: If its loss does not stay finite.
            torch.OutOfMemoryError: If it does not fit.
        """
        start, paused_s, waited_s = time.perf_counter(), self._lease.paused_s, self._timing_lease.waited_s
        size = self.setup.image_size or job.spec.train_image_size
        with self._lease.shared():
            model = self._build(job.spec)
            num_params = count_params(model)
            num_macs = count_macs(model, torch.zeros(1, self.dataset.in_channels, size, size))
        timed_from = time.perf_counter()
        cached = self._timer.find(job.spec)
        with self._timing_lease.shared():
            step_time = cached or self._timer.measure(job.spec)
        waited_s = self._timing_lease.waited_s - waited_s
        trained_from = time.perf_counter()
        accuracy, train_loss = self.train(job.spec, job.fidelity, job.seed)
        end = time.perf_counter()
        return Measurement(
            accuracy=accuracy,
            accuracy_stderr=accuracy_stderr(accuracy, len(self.dataset.val)),
            train_loss=train_loss,
            num_params=num_params,
            relative_params=num_params / self._reference_params,
            num_macs=num_macs,
            fidelity=str(job.fidelity),
            seed=job.seed,
            device=str(self.device),
            device_name=device_name(self.timing_device),
            dtype=str(compute_dtype(self.timing_device)).removeprefix("torch."),
            torch_version=torch.__version__,
            train_s=end - trained_from,
            timing_s=trained_from - timed_from - waited_s,
            wall_s=end - start,
            timing_cached=cached is not None,
            step_dtype=self._timer.dtype,
            step_memory_format=self.setup.memory_format,
            step_mode=self.setup.mode,
            step_kind=self.setup.kind,
            timing_device=str(self.timing_device),
            paused_s=self._lease.paused_s - paused_s,
            **{**step_time.to_dict(), "lease_wait_s": waited_s},
        )

    def train(self, spec: ArchSpec, fidelity: Fidelity, seed: int) -> tuple[float, float]:
        """Train `spec` from scratch and validate it, pausing between batches while another process times steps.

        Returns:
            Top-1 accuracy on the validation split, 0 to 1, and the training loss at the end.
        """
        pause = self._lease.yield_
        with self._lease.shared():
            torch.manual_seed(seed)
            trainer = Trainer(self._build(spec), self.recipe, self.device)
            train, val = self.dataset.train, self.dataset.val
            data = train.subset(min(fidelity.train_images, len(train)))
            normalise = normaliser(self.dataset, fidelity.image_size or spec.train_image_size)
            loss = fit(trainer, data, fidelity.epochs, normalise, seed, between_batches=pause)
            reestimate_batch_norm(trainer.model, data, normalise, between_batches=pause)
            return validate(trainer.model, val, normalise, pause).accuracy, loss

    def _build(self, spec: ArchSpec) -> torch.nn.Module:
        return build_model(spec, self.dataset.num_classes, self.dataset.in_channels)


def _device_lease(device: torch.device) -> Lease:
    return open_lease(physical_name(device), partial(synchronize, device))
