"""Training batches, epoch by epoch: in one phase, or in several of which each has its own images and regularisation."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.data.batches import epoch_order
from nas.data.dataset import Batches, Images
from nas.training.recipe import steps_an_epoch

MakeBatch = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""From stored images, uint8 (N, C, H, W), and labels, int64 (N,), to what the network reads, augmented and normalised,
and its targets: labels, or shares of all classes (N, num_classes). Whatever is random is drawn from the generator."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Epochs that are trained alike.

    Attributes:
        num_epochs: At least 1.
        batch_size: Images in a step; the learning rate follows it (`Recipe.batch_factor`).
        make: Makes a batch.
        dropout: Of the classifier; None leaves it as the network was built.
        stochastic_depth: Of the last block, likewise.
        image_size: Pixels a side that `make` needs of images that are decoded only then; None for all there are.
    """

    num_epochs: int
    batch_size: int
    make: MakeBatch
    dropout: float | None = None
    stochastic_depth: float | None = None
    image_size: int | None = None

    def steps_an_epoch(self, num_images: int) -> int:
        return steps_an_epoch(num_images, self.batch_size)


class TrainingBatches(Iterator[tuple[Tensor, Tensor]]):
    """The batches of all phases, one after the other.

    Order and augmentation depend on `seed` alone, so that networks trained with one seed see the same images.

    Args:
        data: Training images, which come to the device of training.
        phases: At least one.
        seed: Of order and augmentation.

    Attributes:
        generator: Of all draws; on the CPU, so that they are the same for every device.
        order: Of the images in the epoch under way, on the device of the images.
        step: Batches so far.
        total: Batches in all.
        num_epochs: In all.
        image_size: Pixels a side of the last batch; 0 before the first.
    """

    def __init__(self, data: Images, phases: Sequence[Phase], seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.int64)
        self.step, self.image_size = 0, 0
        self._data, self._phases = data, tuple(phases)
        self._rest_of_epoch: Batches | None = None
        steps = [phase.num_epochs * phase.steps_an_epoch(len(data)) for phase in self._phases]
        self.num_epochs = sum(phase.num_epochs for phase in self._phases)
        self._starts = (0, *itertools.accumulate(steps))
        self.total = self._starts[-1]

    @property
    def phase(self) -> Phase:
        """Of the last batch, or of the first one before there is any."""
        return self._phases[self._index(max(1, self.step))]

    @property
    def schedule_position(self) -> float:
        """Where the last batch is in the learning rate's schedule, 0 to total - 1.

        In one phase these are the steps from 0. An epoch is the same stretch of the schedule in all phases, however
        many steps it has.
        """
        index = self._index(self.step)
        epochs = [phase.num_epochs for phase in self._phases]
        steps = self._starts[index + 1] - self._starts[index]
        # Quotients of whole numbers, which are exact where there is one phase.
        before = self.total * sum(epochs[:index]) / self.num_epochs
        stretch = self.total * epochs[index] / (self.num_epochs * steps)
        return before + (self.step - 1 - self._starts[index]) * stretch

    @property
    def epoch_step(self) -> int:
        """How many batches of its epoch there were with the last one; 0 before the first."""
        return self._place(self.step) + 1 if self.step else 0

    @property
    def ends_epoch(self) -> bool:
        """Whether the last batch was the last one of an epoch."""
        return self.step > 0 and self.epoch_step == self.phase.steps_an_epoch(len(self._data))

    @property
    def epoch(self) -> int:
        """Of the last batch, from 1; 0 before the first."""
        if not self.step:
            return 0
        index = self._index(self.step)
        before = sum(phase.num_epochs for phase in self._phases[:index])
        steps = self.step - 1 - self._starts[index]
        return before + steps // self._phases[index].steps_an_epoch(len(self._data)) + 1

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self.step == self.total:
            raise StopIteration
        self.step += 1
        place = self._place(self.step)
        if place == 0:
            self.order = epoch_order(len(self._data), self.generator).to(self._data.device)
        if place == 0 or self._rest_of_epoch is None:
            # All at once, so that images that are not in memory can be decoded ahead.
            size = min(self.phase.batch_size, len(self._data))
            end = size * self.phase.steps_an_epoch(len(self._data))
            chosen = torch.split(self.order[place * size : end], size)
            self._rest_of_epoch = self._data.batches(chosen, self.phase.image_size)
        images, labels = next(self._rest_of_epoch)
        inputs, targets = self.phase.make(images, labels, self.generator)
        self.image_size = inputs.shape[-1]
        return inputs, targets

    def close(self) -> None:
        """End what was begun for later batches of the epoch, of which none will be taken."""
        if self._rest_of_epoch is not None:
            self._rest_of_epoch.close()

    def _index(self, step: int) -> int:
        """Return which phase a step, from 1, is of."""
        return next(index for index, end in enumerate(self._starts[1:]) if step <= end)

    def _place(self, step: int) -> int:
        """Return where in its epoch a step, from 1, is: 0 for the first."""
        index = self._index(step)
        return (step - 1 - self._starts[index]) % self._phases[index].steps_an_epoch(len(self._data))
