"""`ProxyFactory`: what a driver knows of the proxy. It builds no network, so it need not import what takes seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.evaluation.device_profile import DeviceProfile
from nas.evaluation.job import Evaluate
from nas.evaluation.step_setup import StepSetup
from nas.evaluation.timing_statistics import Effort
from nas.spec import ArchSpec
from nas.training.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from nas.data import Dataset
    from nas.evaluation.lease import Lease
    from nas.evaluation.signals.scorer import Scorer
    from nas.evaluation.step_times import StepTimes

PROXY_RECIPE = Recipe(flip=False, shift=0)
"""Chosen by measurement: results/fashion_hard/README.md."""

PROXY_EFFORT = Effort(target=0.05, min_blocks=3, max_blocks=9, max_s=1.0)
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
        timing_device: Where steps are timed; None means on `device`. As the process that calls this numbers devices.
        recipe: Of proxy training.
        setup: What a timed step is; None means a training step of the recipe's batch size at the spec's image size.
        timings: File in which timings are kept and looked up; None for nowhere.
        target_device: Whose step times are predicted instead of this machine's measured.
        signals: Names of the training-free scores to record.
        fetch: Gets the data set that was loaded elsewhere; None loads it here.
        checkpoints: Folder in which long trainings are kept on their way; None for nowhere.
        checkpoint_every_s: Seconds of training that an interruption may cost; None means the default.
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
    target_device: DeviceProfile | None = None
    signals: tuple[str, ...] = ()
    fetch: "Callable[[], Dataset] | None" = None
    checkpoints: Path | None = None
    checkpoint_every_s: float | None = None

    def __call__(self) -> Evaluate:
        from nas.evaluation.device import physical_name, resolve_device
        from nas.evaluation.proxy import ProxyEvaluator
        from nas.evaluation.training import device_lease
        from nas.training.checkpoint import EVERY_S
        from nas.training.cpu import prepare_cpu

        device = resolve_device(self.device)
        timing_device = device if self.timing_device is None else resolve_device(self.timing_device, "timing_device")
        if "cpu" in (device.type, timing_device.type):
            prepare_cpu(num_threads=1)
        dataset = self._load() if self.fetch is None else self.fetch()
        lease = device_lease(device)
        same = physical_name(timing_device) == physical_name(device)
        return ProxyEvaluator(
            dataset,
            self.reference,
            device,
            lease=lease,
            step_times=self._step_times(dataset, timing_device, lease if same else device_lease(timing_device)),
            step_image_size=self.setup.image_size if self.setup is not None else None,
            recipe=self.recipe,
            signals=self.signals,
            checkpoints=self.checkpoints,
            checkpoint_every_s=EVERY_S if self.checkpoint_every_s is None else self.checkpoint_every_s,
        )

    def scorer(self, signal: str) -> "Scorer":
        """Return what scores networks in the process that calls this, on its CPU and one thread."""
        import torch

        from nas.evaluation.signals.scorer import Scorer

        torch.set_num_threads(1)
        return Scorer(self._load(), (signal,))

    def _load(self) -> "Dataset":
        from nas.data import load_dataset

        return load_dataset(
            self.data, image_size=self.image_size, val_images=self.val_images, seed=self.data_seed, download=False
        )

    def _step_times(self, dataset: "Dataset", device: "torch.device", lease: "Lease") -> "StepTimes":
        """Return what times steps on a device under its lease, or predicts them for another."""
        from nas.evaluation.step_features import StepShape
        from nas.evaluation.step_time import StepTimer
        from nas.evaluation.step_times import MeasuredStepTimes, PredictedStepTimes
        from nas.evaluation.timing_cache import TimingCache
        from nas.evaluation.timing_history import TimingHistory

        classes, channels = dataset.num_classes, dataset.in_channels
        if self.target_device is not None:
            target = self.target_device.reshaped(num_classes=classes, in_channels=channels)
            return PredictedStepTimes(target, self.reference)
        setup = self.setup or StepSetup(batch_size=self.recipe.batch_size)
        timer = StepTimer(
            self.reference,
            setup,
            num_classes=classes,
            in_channels=channels,
            recipe=self.recipe,
            device=device,
            effort=PROXY_EFFORT,
            cache=TimingCache(self.timings) if self.timings is not None else None,
            exclusive=lease.exclusive,
        )
        shape = StepShape(setup.batch_size, classes, channels, setup.image_size)
        return MeasuredStepTimes(timer, lease, TimingHistory(shape))
