"""What the seconds of a training step depend on, in closed form from an `ArchSpec`: no torch, microseconds.

Every feature is a sum over the layers of a network and at least 0, so that a network that holds another one's layers
has features at least as large, and a prediction with coefficients of at least 0 is at least as long.

A convolution's cost depends on its kind: arithmetic for dense ones, memory for depthwise ones and for what stands
between convolutions (Ma et al. 2018, ShuffleNetV2, section 2; Dollar et al. 2021, "Fast and Accurate Model Scaling").
"""

import math
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from nas.complexity import Walk
from nas.errors import invalid
from nas.spec import ArchSpec, BlockSpec

_VECTOR, _MATRIX = 8, 16
"""Channels that vector units (8 floats in AVX2) and matrix units take at a time; fewer cost as much."""


@dataclass(frozen=True, slots=True)
class StepShape:
    """What a step is besides the network.

    Attributes:
        batch_size: Images in a step.
        num_classes: Classes of the data.
        in_channels: Channels of an image.
        image_size: Pixels a side; None means each network's training size.
    """

    batch_size: int
    num_classes: int
    in_channels: int
    image_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "num_classes", "in_channels"):
            if getattr(self, name) < 1:
                raise invalid(name, "at least 1", getattr(self, name), "Correct the value.")
        if self.image_size is not None and self.image_size < 1:
            raise invalid("image_size", "at least 1, or None", self.image_size, "Correct the value.")


@dataclass(slots=True)
class StepFeatures:
    """One network's features for one step of a whole batch; more is slower.

    Attributes:
        fixed: 1: what every step costs, whatever the network.
        num_norm_convs: Convolutions with their BatchNorm: kernels to launch and tensors to update.
        num_dense_layers: Squeeze-excitation's halves and the classifier.
        spatial_macs: Forward multiply-adds of regular convolutions of 3x3 and more.
        spatial_macs_by_8: Likewise, channels in and out rounded up to 8.
        spatial_macs_by_16: Likewise, channels in and out rounded up to 16.
        pointwise_macs: Forward multiply-adds of 1x1 convolutions.
        pointwise_macs_by_16: Likewise, channels in and out rounded up to 16.
        depthwise_macs: Forward multiply-adds of depthwise convolutions.
        dense_macs: Forward multiply-adds of dense layers.
        read_values: Values that convolutions read: their inputs.
        normalised_values: Values that convolutions write and BatchNorm normalises.
        normalised_values_by_8: Likewise, channels rounded up to 8.
        depthwise_values: Those of depthwise convolutions.
        activated_values: Values that go through SiLU.
        squeezed_values: Values that squeeze-excitation pools and scales.
        added_values: Values that skip connections add.
        num_params: Learnable parameters, which the optimizer reads and writes.
    """

    fixed: float = 1.0
    num_norm_convs: float = 0.0
    num_dense_layers: float = 0.0
    spatial_macs: float = 0.0
    spatial_macs_by_8: float = 0.0
    spatial_macs_by_16: float = 0.0
    pointwise_macs: float = 0.0
    pointwise_macs_by_16: float = 0.0
    depthwise_macs: float = 0.0
    dense_macs: float = 0.0
    read_values: float = 0.0
    normalised_values: float = 0.0
    normalised_values_by_8: float = 0.0
    depthwise_values: float = 0.0
    activated_values: float = 0.0
    squeezed_values: float = 0.0
    added_values: float = 0.0
    num_params: float = 0.0


FEATURES = tuple(field.name for field in fields(StepFeatures))


def step_features(spec: ArchSpec, shape: StepShape) -> NDArray[np.float64]:
    """Return a network's features, in the order of `FEATURES`."""
    walk = _Sum(shape.image_size or spec.train_image_size, shape.batch_size)
    for _ in walk.network(spec, shape.num_classes, shape.in_channels):
        pass
    return np.array(astuple(walk.found))


class _Sum(Walk):
    def __init__(self, image_size: int, batch_size: int) -> None:
        super().__init__(image_size)
        self.batch_size = batch_size
        self.found = StepFeatures()

    def conv(self, ins: int, outs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        found, batch = self.found, self.batch_size
        read = batch * ins * self.size**2
        self.size = math.ceil(self.size / stride)
        positions = batch * self.size**2
        weights = kernel * kernel * (ins // groups) * outs
        if groups > 1:
            found.depthwise_macs += weights * positions
            found.depthwise_values += outs * positions
        elif kernel > 1:
            found.spatial_macs += weights * positions
            area = kernel * kernel * positions
            found.spatial_macs_by_8 += _padded(ins, _VECTOR) * _padded(outs, _VECTOR) * area
            found.spatial_macs_by_16 += _padded(ins, _MATRIX) * _padded(outs, _MATRIX) * area
        else:
            found.pointwise_macs += weights * positions
            found.pointwise_macs_by_16 += _padded(ins, _MATRIX) * _padded(outs, _MATRIX) * positions
        found.num_norm_convs += 1
        found.read_values += read
        found.normalised_values += outs * positions
        found.normalised_values_by_8 += _padded(outs, _VECTOR) * positions
        found.activated_values += outs * positions
        found.num_params += weights + 2 * outs

    def dense(self, ins: int, outs: int) -> None:
        self.found.num_dense_layers += 1
        self.found.dense_macs += self.batch_size * ins * outs
        self.found.num_params += ins * outs + outs

    def block(self, block: BlockSpec) -> None:
        super().block(block)
        found, positions = self.found, self.batch_size * self.size**2
        if block.expands or block.kind == "mbconv":
            # The block's last convolution is linear.
            found.activated_values -= block.out_channels * positions
        if block.se_channels:
            found.squeezed_values += block.hidden_channels * positions
        if block.has_residual:
            found.added_values += block.out_channels * positions


def _padded(channels: int, lanes: int) -> int:
    return math.ceil(channels / lanes) * lanes
