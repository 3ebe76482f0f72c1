"""Seconds of a step, measured in turn with a reference network.

Blocks of steps of the candidate and of the reference take turns (A B A B ...), so that clocks, heat and neighbours that
drift change both alike. What a search should compare is the median of the blocks' ratios; the seconds tell what this
machine took. Timing goes on until that median's interval is narrow enough, or until its `Effort` ends. How well it
repeats is measured in results/step_time/README.md.
"""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from nas.errors import InvalidInputError, invalid
from nas.evaluation.gpu_state import gpu_state
from nas.evaluation.memory import peak_memory_bytes
from nas.evaluation.out_of_memory import is_out_of_memory
from nas.evaluation.step_setup import StepSetup
from nas.evaluation.stopwatch import make_stopwatch
from nas.evaluation.timed_step import Network, StepFactory, TimedStep
from nas.evaluation.timing_cache import TimingCache
from nas.evaluation.timing_key import TimingKey, timing_key
from nas.evaluation.timing_statistics import Effort, interquartile_range, median_interval, settled
from nas.spec import ArchSpec
from nas.training.recipe import Recipe

_MAX_WARMUP_BLOCKS = 10

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StepTime:
    """One network, timed. All but the sizes: lower is better.

    Attributes:
        step_time_s: Median over blocks of the seconds a step.
        step_time_spread_s: Interquartile range over blocks.
        step_time_low_s: Lower end of the median's 95% bootstrap interval over blocks.
        step_time_high_s: Upper end.
        relative_step_time: Median over blocks of candidate / reference.
        relative_step_time_spread: Interquartile range of those ratios.
        relative_step_time_low: Lower end of the median's 95% bootstrap interval over blocks.
        relative_step_time_high: Upper end.
        step_time_per_image_s: `step_time_s` / `step_batch_size`.
        num_timing_blocks: Blocks of each of the two networks.
        timing_target_met: Whether the interval became as narrow as was asked for.
        step_batch_size: Images in a step; less than was asked for where `step_batch_reduced`.
        step_batch_reduced: Whether the batch that was asked for did not fit into memory.
        step_image_size: Pixels a side.
        peak_memory_bytes: Of one step; see `nas.evaluation.memory`.
        compile_s: Seconds that compiling or capturing took, outside the timed steps; 0 in eager mode.
        exclusive: Whether no other work of ours used the device meanwhile.
        lease_wait_s: Seconds waited for that.
    """

    step_time_s: float
    step_time_spread_s: float
    step_time_low_s: float
    step_time_high_s: float
    relative_step_time: float
    relative_step_time_spread: float
    relative_step_time_low: float
    relative_step_time_high: float
    step_time_per_image_s: float
    num_timing_blocks: int
    timing_target_met: bool
    step_batch_size: int
    step_batch_reduced: bool
    step_image_size: int
    peak_memory_bytes: int | None
    compile_s: float
    exclusive: bool
    lease_wait_s: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "StepTime":
        """Read what `to_dict` wrote; raise InvalidInputError where it is from another version."""
        known = {f.name for f in fields(cls)}
        if set(plain) != known:
            differing = sorted(known.symmetric_difference(plain))
            raise invalid("step time", "one of this version", differing, "Time the network again.")
        return cls(**plain)


@contextmanager
def no_lease() -> Iterator[bool]:
    """Stand for a device that nobody else uses."""
    yield True


class StepTimer:
    """Times steps of networks against one reference network that it keeps.

    Args:
        reference: The network that times are relative to.
        setup: What a step is.
        num_classes: Classes of the data.
        in_channels: Channels of an image.
        recipe: Gives optimizer and label smoothing; its batch size is not used.
        device: Where to run.
        effort: How long to go on.
        cache: Where times are looked up first and kept; None for nowhere.
        exclusive: Entered around the timed blocks; gives whether the device is ours alone.

    Raises:
        InvalidInputError: If the device cannot do such steps.
    """

    def __init__(
        self,
        reference: ArchSpec | Network,
        setup: StepSetup,
        *,
        num_classes: int,
        in_channels: int,
        recipe: Recipe,
        device: torch.device,
        effort: Effort | None = None,
        cache: TimingCache | None = None,
        exclusive: Callable[[], AbstractContextManager[bool]] = no_lease,
    ) -> None:
        self.reference = Network.of(reference)
        self.setup, self.device, self.effort = setup, device, effort or Effort()
        self._steps = StepFactory(setup, num_classes, in_channels, recipe, device)
        self._cache, self._exclusive = cache, exclusive
        self._seconds = make_stopwatch(device)
        self._references: dict[int, _Subject] = {}

    @property
    def dtype(self) -> str:
        """What convolutions of a step compute in, for example "float32"."""
        return str(self._steps.dtype).removeprefix("torch.")

    def find(self, network: ArchSpec | Network) -> StepTime | None:
        """Return the time that the cache has of a network, measured under the same conditions in all that matters."""
        key = self._key(Network.of(network))
        plain = self._cache.get(key) if self._cache is not None and key is not None else None
        try:
            return None if plain is None else StepTime.from_dict(plain)
        except InvalidInputError:  # kept by another version
            return None

    def measure(self, network: ArchSpec | Network) -> StepTime:
        """Time a network and keep the time; its weights are its own and thrown away. The cache is not asked.

        Raises:
            torch.OutOfMemoryError: If not even the smallest batch fits; a plain RuntimeError on the CPU.
        """
        network = Network.of(network)
        found = self._measure_at_a_batch_that_fits(network)
        self.keep(network, found)
        return found

    def keep(self, network: ArchSpec | Network, found: StepTime) -> None:
        """Put a time into the cache, in place of what that has of the network."""
        key = self._key(Network.of(network))
        if self._cache is not None and key is not None:
            self._cache.put(key, found.to_dict())

    def _key(self, network: Network) -> TimingKey | None:
        return timing_key(self._steps, network, self.reference)

    def _measure_at_a_batch_that_fits(self, network: Network) -> StepTime:
        batch_size = self.setup.batch_size
        while True:
            try:
                return self._measure(network, batch_size)
            except (RuntimeError, MemoryError) as error:
                if batch_size <= self.setup.min_batch_size or not is_out_of_memory(error):
                    raise
            # Here, not above: while the error is handled it holds on to the frames that hold the memory.
            self._free()
            smaller = max(self.setup.min_batch_size, batch_size // 2)
            _logger.warning(
                "%s does not fit on %s at batch size %d: timed at %d.", network.label, self.device, batch_size, smaller
            )
            batch_size = smaller

    def _measure(self, network: Network, batch_size: int) -> StepTime:
        reference = self._reference(batch_size)
        candidate, peak = self._subject(network, batch_size)
        asked = time.perf_counter()
        with self._exclusive() as alone:
            waited_s = time.perf_counter() - asked
            ours, references = self._blocks(candidate, reference)
        ratios = [a / b for a, b in zip(ours, references, strict=True)]
        seconds, relative = median_interval(ours), median_interval(ratios)
        if _logger.isEnabledFor(logging.DEBUG):  # asking a GPU takes time
            _logger.debug("%s: %d blocks, %s", network.label, len(ours), gpu_state(self.device))
        return StepTime(
            step_time_s=seconds.median,
            step_time_spread_s=interquartile_range(ours),
            step_time_low_s=seconds.low,
            step_time_high_s=seconds.high,
            relative_step_time=relative.median,
            relative_step_time_spread=interquartile_range(ratios),
            relative_step_time_low=relative.low,
            relative_step_time_high=relative.high,
            step_time_per_image_s=seconds.median / batch_size,
            num_timing_blocks=len(ours),
            timing_target_met=self.effort.met(ratios),
            step_batch_size=batch_size,
            step_batch_reduced=batch_size < self.setup.batch_size,
            step_image_size=self._steps.image_size(network),
            peak_memory_bytes=peak,
            compile_s=candidate.step.compile_s,
            exclusive=alone,
            lease_wait_s=waited_s,
        )

    def _blocks(self, candidate: "_Subject", reference: "_Subject") -> tuple[list[float], list[float]]:
        """Return the seconds a step of the candidate's and the reference's blocks, which took turns."""
        # The block that shows that warm-up is over is the first that counts.
        ours, references = [self._settle(candidate)], [self._block(reference)]
        while True:
            ratios = [a / b for a, b in zip(ours, references, strict=True)]
            if self.effort.enough(ratios, sum(ours) * candidate.num_steps + sum(references) * reference.num_steps):
                return ours, references
            ours.append(self._block(candidate))
            references.append(self._block(reference))

    def _settle(self, subject: "_Subject") -> float:
        """Run blocks until their times stop falling; return the last one's seconds a step."""
        times = [subject.first_s]
        while not settled(times) and len(times) <= _MAX_WARMUP_BLOCKS:
            times.append(self._block(subject))
            subject.num_steps = max(1, round(self.effort.block_s / times[-1]))
        return times[-1]

    def _block(self, subject: "_Subject") -> float:
        def steps() -> None:
            for _ in range(subject.num_steps):
                subject.step.run()

        return self._seconds(steps) / subject.num_steps

    def _subject(self, network: Network, batch_size: int) -> "tuple[_Subject, int | None]":
        """Build a network, do its first step, and return it with the bytes that this step took."""
        subject = _Subject(self._steps.make(network, batch_size))

        def first_step() -> None:
            subject.first_s = self._block(subject)

        peak = peak_memory_bytes(first_step, self.device)
        return subject, peak

    def _reference(self, batch_size: int) -> "_Subject":
        if batch_size not in self._references:
            subject, _ = self._subject(self.reference, batch_size)
            self._settle(subject)
            self._references[batch_size] = subject
        return self._references[batch_size]

    def _free(self) -> None:
        self._references.clear()
        gc.collect()
        if self.device.type != "cpu":
            torch.accelerator.memory.empty_cache()


@dataclass(slots=True)
class _Subject:
    """A step that is timed, its first step's seconds, and how many steps make a block."""

    step: TimedStep
    first_s: float = 0.0
    num_steps: int = 1
