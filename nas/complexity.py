"""What a network costs, in closed form from its `ArchSpec`: no torch, microseconds.

The numbers that a trial records are measured on the built network (`nas.evaluation.complexity`); these serve where
nothing is built: to bound a space, to scale a family to a target. A test holds the two equal.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from nas.errors import invalid
from nas.spec import ArchSpec, BlockSpec, StageSpec


@dataclass(frozen=True, slots=True)
class Complexity:
    """What a network costs.

    Attributes:
        num_params: Learnable parameters.
        num_macs: Multiply-adds of the convolutions and the classifier in one forward pass of one image, as fvcore
            counts them for those operators and as the paper's "FLOPs" column does.
        num_activations: Values written by convolutions and the classifier in that pass (Radosavovic et al. 2020).
    """

    num_params: int
    num_macs: int
    num_activations: int


class Walk(ABC):
    """A way through a network with square feature maps, layer by layer; subclasses add up what they want to know.

    Attributes:
        size: Pixels a side of the feature map that was reached.
    """

    def __init__(self, image_size: int) -> None:
        self.size = image_size

    @abstractmethod
    def conv(self, ins: int, outs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        """A convolution without bias, with padding (kernel - 1) / 2, and the BatchNorm behind it; sets `size`."""

    @abstractmethod
    def dense(self, ins: int, outs: int) -> None:
        """A layer with bias on one position: a classifier or a half of squeeze-excitation."""

    def network(self, spec: ArchSpec, num_classes: int, in_channels: int) -> Iterator[None]:
        """All layers of a network; rests after the stem, after each stage, and at the end."""
        self.conv(in_channels, spec.stem_channels, 3, spec.stem_stride)
        yield
        channels = spec.stem_channels
        for stage in spec.stages:
            for block in stage.blocks(channels):
                self.block(block)
            channels = stage.out_channels
            yield
        self.conv(channels, spec.head_channels)
        self.dense(spec.head_channels, num_classes)
        yield

    def block(self, block: BlockSpec) -> None:
        """All layers of a residual unit."""
        hidden, kernel, stride = block.hidden_channels, block.kernel_size, block.stride
        if block.kind == "mbconv":
            if block.expands:
                self.conv(block.in_channels, hidden)
            self.conv(hidden, hidden, kernel, stride, groups=hidden)
        elif block.expands:
            self.conv(block.in_channels, hidden, kernel, stride)
        else:
            self.conv(block.in_channels, block.out_channels, kernel, stride)
            return
        if block.se_channels:
            self.dense(hidden, block.se_channels)
            self.dense(block.se_channels, hidden)
        self.conv(hidden, block.out_channels)


class _Count(Walk):
    """Running totals of what `Complexity` says."""

    def __init__(self, image_size: int) -> None:
        super().__init__(image_size)
        self.num_params = self.num_macs = self.num_activations = 0

    def conv(self, ins: int, outs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        self.size = math.ceil(self.size / stride)
        weights = kernel * kernel * (ins // groups) * outs
        self.num_params += weights + 2 * outs
        self.num_macs += weights * self.size**2
        self.num_activations += outs * self.size**2

    def dense(self, ins: int, outs: int) -> None:
        self.num_params += ins * outs + outs
        self.num_macs += ins * outs
        self.num_activations += outs


def complexity(spec: ArchSpec, *, num_classes: int, in_channels: int, image_size: int | None = None) -> Complexity:
    """Count a network's cost.

    Args:
        spec: The network.
        num_classes: Outputs of the classifier.
        in_channels: Channels of an image.
        image_size: Pixels a side; None means the spec's training size.

    Raises:
        InvalidInputError: If one of the numbers is below 1.
    """
    *_, count = _walk(spec, num_classes, in_channels, image_size)
    return Complexity(count.num_params, count.num_macs, count.num_activations)


@dataclass(frozen=True, slots=True)
class StageComplexity:
    """What a stage costs.

    Attributes:
        size: Pixels a side of what comes out.
        num_params: As in `Complexity`.
        num_macs: Likewise.
    """

    size: int
    num_params: int
    num_macs: int


def complexity_by_stage(
    spec: ArchSpec, *, num_classes: int, in_channels: int, image_size: int | None = None
) -> tuple[StageComplexity, ...]:
    """Count what `complexity` counts for the stem, for each stage, and for head and classifier together."""
    found: list[StageComplexity] = []
    num_params = num_macs = 0
    for count in _walk(spec, num_classes, in_channels, image_size):
        found.append(StageComplexity(count.size, count.num_params - num_params, count.num_macs - num_macs))
        num_params, num_macs = count.num_params, count.num_macs
    return tuple(found)


def _walk(spec: ArchSpec, num_classes: int, in_channels: int, image_size: int | None) -> Iterator[_Count]:
    """Yield the running totals after the stem, after each stage, and at the end."""
    size = spec.train_image_size if image_size is None else image_size
    for name, value in (("num_classes", num_classes), ("in_channels", in_channels), ("image_size", size)):
        if value < 1:
            raise invalid(name, "at least 1", value, "Correct the value.")
    count = _Count(size)
    for _ in count.network(spec, num_classes, in_channels):
        yield count


def depth(spec: ArchSpec) -> int:
    """Return how many convolutions stand one behind the other; squeeze-excitation and the classifier do not count."""
    in_blocks = sum(1 + block.expands + (block.kind == "mbconv") for block in spec.blocks())
    return 1 + in_blocks + 1


def stage_params(stage: StageSpec, in_channels: int) -> int:
    """Return the learnable parameters of one stage that `in_channels` come into."""
    count = _Count(image_size=1)
    for block in stage.blocks(in_channels):
        count.block(block)
    return count.num_params
