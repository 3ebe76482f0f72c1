"""The proxy: a candidate is built, counted, timed, trained briefly and validated."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from nas.data import Dataset, load_dataset
from nas.evaluation.complexity import count_macs, count_params
from nas.evaluation.device import device_name, resolve_device
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Evaluate, Job
from nas.evaluation.measurement import Measurement
from nas.evaluation.step_setup import StepSetup
from nas.evaluation.step_time import StepTimer, no_lease
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
"""Timing's share of a trial is that of its steps among some 200 of training and validation: results/step_time."""


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
    recipe: Recipe = PROXY_RECIPE
    setup: StepSetup | None = None
    timings: Path | None = None

    def __call__(self) -> Evaluate:
        device = resolve_device(self.device)
        if device.type == "cpu":
            # Small networks train fastest with one thread a process, and several processes.
            torch.set_num_threads(1)
        dataset = load_dataset(
            self.data, image_size=self.image_size, val_images=self.val_images, seed=self.data_seed, download=False
        )
        cache = TimingCache(self.timings) if self.timings is not None else None
        return ProxyEvaluator(dataset, self.reference, device, self.recipe, setup=self.setup, cache=cache)


class ProxyEvaluator:
    """Measures candidates on one data set and one device.

    Args:
        dataset: Moved to the device and held there.
        reference: The network that step time and parameters are relative to.
        device: Where everything runs.
        recipe: Of proxy training.
        setup: What a timed step is; None means a training step of the recipe's batch size at the spec's image size.
        cache: Where timings are kept.
        exclusive: See `StepTimer`.
    """

    def __init__(
        self,
        dataset: Dataset,
        reference: ArchSpec,
        device: torch.device,
        recipe: Recipe = PROXY_RECIPE,
        *,
        setup: StepSetup | None = None,
        cache: TimingCache | None = None,
        exclusive: Callable[[], AbstractContextManager[bool]] = no_lease,
    ) -> None:
        self.dataset, self.reference, self.device, self.recipe = dataset.to(device), reference, device, recipe
        self._reference_params = count_params(self._build(reference))
        self.setup = setup or StepSetup(batch_size=recipe.batch_size)
        self._timer = StepTimer(
            reference,
            self.setup,
            num_classes=dataset.num_classes,
            in_channels=dataset.in_channels,
            recipe=recipe,
            device=device,
            effort=PROXY_EFFORT,
            cache=cache,
            exclusive=exclusive,
        )

    def __call__(self, job: Job) -> Measurement:
        """Measure one candidate.

        Raises:
            DivergedError: If its loss does not stay finite.
            torch.OutOfMemoryError: If it does not fit.
        """
        start = time.perf_counter()
        model = self._build(job.spec)
        num_params = count_params(model)
        size = self.setup.image_size or job.spec.train_image_size
        num_macs = count_macs(model, torch.zeros(1, self.dataset.in_channels, size, size))
        timed_from = time.perf_counter()
        cached = self._timer.find(job.spec)
        step_time = cached or self._timer.measure(job.spec)
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
            device_name=device_name(self.device),
            dtype=str(compute_dtype(self.device)).removeprefix("torch."),
            torch_version=torch.__version__,
            train_s=end - trained_from,
            timing_s=trained_from - timed_from,
            wall_s=end - start,
            timing_cached=cached is not None,
            step_dtype=self._timer.dtype,
            step_memory_format=self.setup.memory_format,
            step_mode=self.setup.mode,
            step_kind=self.setup.kind,
            **step_time.to_dict(),
        )

    def train(self, spec: ArchSpec, fidelity: Fidelity, seed: int) -> tuple[float, float]:
        """Train `spec` from scratch and validate it.

        Returns:
            Top-1 accuracy on the validation split, 0 to 1, and the training loss at the end.
        """
        torch.manual_seed(seed)
        trainer = Trainer(self._build(spec), self.recipe, self.device)
        train, val = self.dataset.train, self.dataset.val
        data = train.subset(min(fidelity.train_images, len(train)))
        normalise = normaliser(self.dataset, fidelity.image_size or spec.train_image_size)
        loss = fit(trainer, data, fidelity.epochs, normalise, seed)
        reestimate_batch_norm(trainer.model, data, normalise)
        return validate(trainer.model, val, normalise).accuracy, loss

    def _build(self, spec: ArchSpec) -> torch.nn.Module:
        return build_model(spec, self.dataset.num_classes, self.dataset.in_channels)
