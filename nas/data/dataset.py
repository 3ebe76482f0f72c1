"""A data set that is held in memory: images as bytes, labels, and what they were made from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nas.data.sampling import stratified_order
from nas.errors import invalid


@dataclass(frozen=True)
class ImageSet:
    """Attributes:
    images: uint8 (N, channels, height, width).
    labels: int64 (N,), indices into the data set's class names.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "ImageSet":
        return ImageSet(self.images.to(device), self.labels.to(device))

    def subset(self, which: int | Sequence[int] | Tensor) -> "ImageSet":
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
        indices = torch.as_tensor(which, device=self.labels.device)
        return ImageSet(self.images[indices], self.labels[indices])


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
    """

    name: str
    train: ImageSet
    val: ImageSet
    class_names: tuple[str, ...]
    fingerprint: str
    num_skipped: int
    cropped: bool = False

    @property
    def in_channels(self) -> int:
        """1 where all images are grey, else 3."""
        return self.train.images.shape[1]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.train.images.shape[-1]

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
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        # Sums of integers are exact, so the same images give the same numbers on every device.
        images = self.train.images
        total = torch.zeros(self.in_channels, dtype=torch.int64, device=images.device)
        squares = torch.zeros_like(total)
        for batch in torch.split(images, 1024):
            values = batch.transpose(0, 1).flatten(1).to(torch.int32)
            total += values.sum(1, dtype=torch.int64)
            squares += (values * values).sum(1, dtype=torch.int64)
        num_values = images.numel() // self.in_channels
        means = [value / num_values for value in total.tolist()]
        variances = [value / num_values - mean**2 for value, mean in zip(squares.tolist(), means, strict=True)]
        # A constant channel has no spread; half a grey level keeps normalisation finite.
        stds = [max(variance, 0.25) ** 0.5 for variance in variances]
        return tuple(mean / 255 for mean in means), tuple(std / 255 for std in stds)
