"""Seconds of one training step, measured in turn with a reference network.

A first honest version: warm-up, a synchronised device, medians over blocks, and every block of the candidate followed
by one of the reference (A B A B ...), so that clocks, heat and neighbours that drift change both alike. The ratio of
the two is what a search should compare; the seconds tell what this machine took.
"""

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.evaluation.memory import peak_memory_bytes
from nas.models import build_model
from nas.spec import ArchSpec
from nas.training.loop import Trainer
from nas.training.recipe import Recipe

NUM_BLOCKS = 7
MIN_BLOCK_S = 0.02
NUM_WARMUP_STEPS = {"cpu": 2}
NUM_WARMUP_STEPS_ACCELERATOR = 10


@dataclass(frozen=True, slots=True)
class StepTime:
    """Attributes:
    step_time_s: Median over blocks of the seconds a step; lower is better.
    step_time_spread_s: Interquartile range over blocks.
    relative_step_time: Median over blocks of candidate / reference.
    relative_step_time_spread: Interquartile range of those ratios.
    peak_memory_bytes: See `nas.evaluation.memory`.
    """

    step_time_s: float
    step_time_spread_s: float
    relative_step_time: float
    relative_step_time_spread: float
    peak_memory_bytes: int | None


class StepTimer:
    """Times training steps of candidates against one reference network that it keeps, each at its own image size.

    Args:
        reference: The network that times are relative to.
        num_classes: Classes of the data.
        in_channels: Channels of an image.
        recipe: Gives batch size and optimizer.
        device: Where to run.
    """

    def __init__(
        self,
        reference: ArchSpec,
        *,
        num_classes: int,
        in_channels: int,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.num_classes, self.in_channels = num_classes, in_channels
        self.recipe, self.device = recipe, device
        self._reference = self._subject(reference)
        self._warm_up(self._reference)

    def measure(self, spec: ArchSpec) -> StepTime:
        """Time `spec`; its weights are its own and thrown away."""
        candidate = self._subject(spec)
        peak = peak_memory_bytes(lambda: self._block(candidate, 1), self.device)
        self._warm_up(candidate)
        steps = [self._steps_per_block(subject) for subject in (candidate, self._reference)]
        times, ratios = [], []
        for _ in range(NUM_BLOCKS):
            ours = self._block(candidate, steps[0])
            reference = self._block(self._reference, steps[1])
            times.append(ours)
            ratios.append(ours / reference)
        return StepTime(
            step_time_s=statistics.median(times),
            step_time_spread_s=interquartile_range(times),
            relative_step_time=statistics.median(ratios),
            relative_step_time_spread=interquartile_range(ratios),
            peak_memory_bytes=peak,
        )

    def _subject(self, spec: ArchSpec) -> "_Subject":
        trainer = Trainer(build_model(spec, self.num_classes, self.in_channels), self.recipe, self.device)
        trainer.model.train()
        batch, size = self.recipe.batch_size, spec.train_image_size
        generator = torch.Generator().manual_seed(0)
        images = torch.randn((batch, self.in_channels, size, size), generator=generator).to(self.device)
        labels = torch.randint(self.num_classes, (batch,), generator=generator).to(self.device)
        return _Subject(trainer, images.contiguous(memory_format=torch.channels_last), labels)

    def _warm_up(self, subject: "_Subject") -> None:
        self._block(subject, NUM_WARMUP_STEPS.get(self.device.type, NUM_WARMUP_STEPS_ACCELERATOR))

    def _steps_per_block(self, subject: "_Subject") -> int:
        """Enough steps that the clock and the synchronisation do not show."""
        return max(1, round(MIN_BLOCK_S / self._block(subject, 1)))

    def _block(self, subject: "_Subject", num_steps: int) -> float:
        """Run steps and return the seconds of one, from an idle device to an idle device."""
        synchronize(self.device)
        start = time.perf_counter()
        for _ in range(num_steps):
            subject.trainer.step(subject.images, subject.labels)
        synchronize(self.device)
        return (time.perf_counter() - start) / num_steps


@dataclass(frozen=True, slots=True)
class _Subject:
    """A network and the batch that its steps are timed on: random images, channels-last, and labels."""

    trainer: Trainer
    images: Tensor
    labels: Tensor


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was asked; without this a GPU's times are launch times."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def interquartile_range(values: list[float]) -> float:
    """Return the distance between the quartiles."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low
