"""A data set: images as bytes, held in memory or decoded as they are needed, labels, and what they were made from."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nas.data.sampling import stratified_order
from nas.errors import invalid

Batches = Generator[tuple[Tensor, Tensor], None, None]
"""Images and labels; `close` ends whatever works ahead on those that were not taken."""


class Images(ABC):
    """Labelled images of one size, which are had in batches on a device.

    Attributes:
        labels: int64 (N,), indices into the data set's class names, on the device.
    """

    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    @property
    @abstractmethod
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""

    @property
    @abstractmethod
    def image_size(self) -> int:
        """Pixels a side."""

    @abstractmethod
    def batches(self, chosen: Iterable[Tensor], image_size: int | None = None) -> Batches:
        """Yield images, uint8 (n, channels, side, side), and labels, int64 (n,), on the device.

        Args:
            chosen: Indices of each batch, int64 (n,).
            image_size: Pixels a side that are needed. Sides are these where images are decoded only now, and may be
                cheaper for it; else they are the set's own, as they are for None.

        Raises:
            InvalidInputError: If images are decoded only now, and too many cannot be.
        """

    @abstractmethod
    def held(self) -> "ImageSet":
        """Return all of them in memory."""

    @abstractmethod
    def to(self, device: torch.device | str) -> "Images": ...

    def subset(self, which: int | Sequence[int] | Tensor) -> "Images":
        """Return some of the images.

        Args:
            which: Their indices; or how many, then classes keep their shares, and a smaller subset is part of every
                larger one.

        Raises:
            InvalidInputError: If more are asked for than there are, or none.
        """
        if isinstance(which, int):
            if not 1 <= which <= len(self):
                raise invalid("images of the subset", f"between 1 and {len(self)}", which, "Ask for fewer images.")
            if which == len(self):
                return self
            order = stratified_order(self.labels.cpu().numpy(), np.random.default_rng(0))
            which = np.sort(order[:which]).tolist()
        return self._some(torch.as_tensor(which, device=self.device))

    @abstractmethod
    def _some(self, indices: Tensor) -> "Images": ...


@dataclass(frozen=True)
class ImageSet(Images):
    """Images in memory.

    Attributes:
        images: uint8 (N, channels, height, width).
        labels: int64 (N,), indices into the data set's class names.
    """

    images: Tensor
    labels: Tensor

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def image_size(self) -> int:
        return self.images.shape[-1]

    def batches(self, chosen: Iterable[Tensor], image_size: int | None = None) -> Batches:
        del image_size  # Resizing is left to the device, where it costs little.
        return ((self.images[indices], self.labels[indices]) for indices in chosen)

    def held(self) -> "ImageSet":
        return self

    def to(self, device: torch.device | str) -> "ImageSet":
        return ImageSet(self.images.to(device), self.labels.to(device))

    def _some(self, indices: Tensor) -> "ImageSet":
        return ImageSet(self.images[indices], self.labels[indices])


Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, from 0 to 1."""


def moments(batches: Iterable[Tensor]) -> Moments:
    """Return mean and standard deviation of each channel's pixels, over all images of some batches together."""
    # Sums of integers are exact, so the same images give the same numbers on every device.
    sums: list[tuple[Tensor, Tensor]] = []
    num_values = 0
    for batch in batches:
        values = batch.transpose(0, 1).flatten(1).to(torch.int32)
        sums.append((values.sum(1, dtype=torch.int64), (values * values).sum(1, dtype=torch.int64)))
        num_values += values.shape[1]
    total, squares = (torch.stack(each).sum(0).tolist() for each in zip(*sums, strict=True))
    means = [value / num_values for value in total]
    variances = [value / num_values - mean**2 for value, mean in zip(squares, means, strict=True)]
    # A constant channel has no spread; half a grey level keeps normalisation finite.
    stds = [max(variance, 0.25) ** 0.5 for variance in variances]
    return tuple(mean / 255 for mean in means), tuple(std / 255 for std in stds)


@dataclass(frozen=True)
class Dataset:
    """What a search may see of a data set: a training and a validation split that share no image.

    Attributes:
        name: As it was asked for.
        train: Images to train on.
        val: Images to measure accuracy on; never trained on.
        class_names: One name a label.
        fingerprint: 16 hexadecimal digits that differ where images, labels, split, size or rendering differ, and are
            the same on every machine.
        num_skipped: Images that were left out: corrupt ones, and where they are cropped those that are too small.
        cropped: Whether images were cut to their size, not resized; so must be those that a network is used on.
        sampled: Mean and standard deviation, where they are those of a sample of the training split; None: of all.
    """

    name: str
    train: Images
    val: Images
    class_names: tuple[str, ...]
    fingerprint: str
    num_skipped: int
    cropped: bool = False
    sampled: Moments | None = None

    @property
    def in_channels(self) -> int:
        """1 where all images are grey, else 3."""
        return self.train.channels

    @property
    def streamed(self) -> bool:
        """Whether training images are decoded as they are needed."""
        return not isinstance(self.train, ImageSet)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.train.image_size

    def to(self, device: torch.device | str) -> "Dataset":
        return replace(self, train=self.train.to(device), val=self.val.to(device))

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training split, from 0 to 1."""
        return self._moments[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel's pixels over the training split, on the same scale; above 0."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> Moments:
        return self.sampled or moments(torch.split(self.train.held().images, 1024))
