"""The proxy: a candidate is built, counted, timed, trained briefly and validated."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from nas.data import Dataset, load_dataset
from nas.evaluation.complexity import count_macs, count_params
from nas.evaluation.device import device_name, resolve_device
from nas.evaluation.device_profile import DeviceProfile
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Evaluate, Job
from nas.evaluation.measurement import Measurement
from nas.evaluation.step_features import StepShape
from nas.evaluation.step_time import StepTime, StepTimer
from nas.evaluation.timing_history import TimingHistory
from nas.models import build_model
from nas.spec import ArchSpec
from nas.training.loop import Trainer, compute_dtype, fit, normaliser, reestimate_batch_norm
from nas.training.recipe import Recipe
from nas.training.validation import accuracy_stderr, validate

PROXY_RECIPE = Recipe(flip=False, shift=0)
"""Chosen by measurement: results/fashion_hard/README.md."""


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
        target_device: Whose step times are predicted instead of this one's measured.
    """

    data: str
    image_size: int | None
    val_images: int | None
    data_seed: int
    reference: ArchSpec
    device: str
    recipe: Recipe = PROXY_RECIPE
    target_device: DeviceProfile | None = None

    def __call__(self) -> Evaluate:
        device = resolve_device(self.device)
        if device.type == "cpu":
            # Small networks train fastest with one thread a process, and several processes.
            torch.set_num_threads(1)
        dataset = load_dataset(
            self.data, image_size=self.image_size, val_images=self.val_images, seed=self.data_seed, download=False
        )
        return ProxyEvaluator(dataset, self.reference, device, self.recipe, self.target_device)


class ProxyEvaluator:
    """Measures candidates on one data set and one device.

    Args:
        dataset: Moved to the device and held there.
        reference: The network that step time and parameters are relative to.
        device: Where everything runs.
        recipe: Of proxy training; its batch size is also that of timed steps.
        target_device: Whose step times are predicted instead of this one's measured.
    """

    def __init__(
        self,
        dataset: Dataset,
        reference: ArchSpec,
        device: torch.device,
        recipe: Recipe = PROXY_RECIPE,
        target_device: DeviceProfile | None = None,
    ) -> None:
        self.dataset, self.reference, self.device, self.recipe = dataset.to(device), reference, device, recipe
        self._reference_params = count_params(self._build(reference))
        classes, channels = dataset.num_classes, dataset.in_channels
        self._times: StepTimer | DeviceProfile
        if target_device is None:
            self._times = StepTimer(reference, num_classes=classes, in_channels=channels, recipe=recipe, device=device)
        else:
            self._times = target_device.reshaped(num_classes=classes, in_channels=channels)
        self._history = TimingHistory(StepShape(recipe.batch_size, classes, channels))

    def __call__(self, job: Job) -> Measurement:
        """Measure one candidate.

        Raises:
            DivergedError: If its loss does not stay finite.
            torch.OutOfMemoryError: If it does not fit.
        """
        start = time.perf_counter()
        model = self._build(job.spec).to(self.device)
        num_params = count_params(model)
        size = job.spec.train_image_size
        num_macs = count_macs(model, torch.zeros(1, self.dataset.in_channels, size, size, device=self.device))
        timed_from = time.perf_counter()
        step_time = self._step_time(job.spec)
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
            **step_time,
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

    def _step_time(self, spec: ArchSpec) -> dict[str, Any]:
        """Return the fields of a `Measurement` that say what a step takes."""
        if isinstance(self._times, DeviceProfile):
            return self._times.step_time(spec, self.reference)
        found, num_timings = self._times.measure(spec), 1
        if self._history.is_suspicious(spec, found.relative_step_time):
            found, num_timings = min(found, self._times.measure(spec), key=_relative_spread), 2
        self._history.add(spec, found.relative_step_time)
        sizes = {"step_batch_size": self.recipe.batch_size, "step_image_size": spec.train_image_size}
        return {**asdict(found), **sizes, "num_timings": num_timings}

    def _build(self, spec: ArchSpec) -> torch.nn.Module:
        return build_model(spec, self.dataset.num_classes, self.dataset.in_channels)


def _relative_spread(step_time: StepTime) -> float:
    return step_time.relative_step_time_spread / step_time.relative_step_time
