"""The published EfficientNetV2 networks as specs: S, M, L, XL and B0 to B3.

Tables, sizes and rounding are those of the released code (google/automl, efficientnetv2/effnetv2_configs.py). The first
version of the paper prints S with 272 channels in its last stage and 1792 in its head; its authors call the code right.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nas.errors import did_you_mean, invalid
from nas.spec import ArchSpec, BlockKind, StageSpec

Row = tuple[BlockKind, int, int, int, int, int]
"""Block, expand_ratio, kernel_size, stride, out_channels, num_layers of one stage."""

_S: tuple[Row, ...] = (
    ("fused", 1, 3, 1, 24, 2),
    ("fused", 4, 3, 2, 48, 4),
    ("fused", 4, 3, 2, 64, 4),
    ("mbconv", 4, 3, 2, 128, 6),
    ("mbconv", 6, 3, 1, 160, 9),
    ("mbconv", 6, 3, 2, 256, 15),
)
_M: tuple[Row, ...] = (
    ("fused", 1, 3, 1, 24, 3),
    ("fused", 4, 3, 2, 48, 5),
    ("fused", 4, 3, 2, 80, 5),
    ("mbconv", 4, 3, 2, 160, 7),
    ("mbconv", 6, 3, 1, 176, 14),
    ("mbconv", 6, 3, 2, 304, 18),
    ("mbconv", 6, 3, 1, 512, 5),
)
_L: tuple[Row, ...] = (
    ("fused", 1, 3, 1, 32, 4),
    ("fused", 4, 3, 2, 64, 7),
    ("fused", 4, 3, 2, 96, 7),
    ("mbconv", 4, 3, 2, 192, 10),
    ("mbconv", 6, 3, 1, 224, 19),
    ("mbconv", 6, 3, 2, 384, 25),
    ("mbconv", 6, 3, 1, 640, 7),
)
_XL: tuple[Row, ...] = (
    ("fused", 1, 3, 1, 32, 4),
    ("fused", 4, 3, 2, 64, 8),
    ("fused", 4, 3, 2, 96, 8),
    ("mbconv", 4, 3, 2, 192, 16),
    ("mbconv", 6, 3, 1, 256, 24),
    ("mbconv", 6, 3, 2, 512, 32),
    ("mbconv", 6, 3, 1, 640, 8),
)
_BASE: tuple[Row, ...] = (
    ("fused", 1, 3, 1, 16, 1),
    ("fused", 4, 3, 2, 32, 2),
    ("fused", 4, 3, 2, 48, 2),
    ("mbconv", 4, 3, 2, 96, 3),
    ("mbconv", 6, 3, 1, 112, 5),
    ("mbconv", 6, 3, 2, 192, 8),
)


@dataclass(frozen=True, slots=True)
class _Entry:
    rows: tuple[Row, ...]
    stem_channels: int
    train_image_size: int
    eval_image_size: int
    dropout: float
    width: float = 1.0
    depth: float = 1.0


_HEAD_CHANNELS = 1280
_STOCHASTIC_DEPTH = 0.2

_ENTRIES = {
    "efficientnet_v2_s": _Entry(_S, 24, 300, 384, 0.2),
    "efficientnet_v2_m": _Entry(_M, 24, 384, 480, 0.3),
    "efficientnet_v2_l": _Entry(_L, 32, 384, 480, 0.4),
    "efficientnet_v2_xl": _Entry(_XL, 32, 384, 512, 0.4),
    "efficientnet_v2_b0": _Entry(_BASE, 32, 192, 224, 0.2),
    "efficientnet_v2_b1": _Entry(_BASE, 32, 192, 240, 0.2, width=1.0, depth=1.1),
    "efficientnet_v2_b2": _Entry(_BASE, 32, 208, 260, 0.3, width=1.1, depth=1.2),
    "efficientnet_v2_b3": _Entry(_BASE, 32, 240, 300, 0.3, width=1.2, depth=1.4),
}

ARCH_NAMES: tuple[str, ...] = tuple(_ENTRIES)
"""The names that `get_arch` knows."""


def get_arch(
    name: str,
    *,
    width_mult: float = 1.0,
    depth_mult: float = 1.0,
    round_limit: float = 0.0,
    stem_stride: int = 2,
    head_channels: int | None = None,
    dropout: float | None = None,
    stochastic_depth: float | None = None,
) -> ArchSpec:
    """Return a published network, or one scaled from it.

    Args:
        name: One of `ARCH_NAMES`, such as "efficientnet_v2_s".
        width_mult: Factor on the channels of stem, stages and head, as in the released code. B0 to B3 have factors of
            their own, which it multiplies.
        depth_mult: Factor on the layers of every stage, likewise.
        round_limit: The share of its channels that a layer keeps at least when they are rounded. 0 is the released
            code, 0.9 the rule of EfficientNet's first version, which makes B3's first stage 24 channels, not 16.
        stem_stride: 2 as published, 1 for small images, which the network then divides by 16.
        head_channels: Channels of the head, taken as they are; None means 1280 times the width, rounded, as in the
            released code. (torchvision keeps 1280 at any width.)
        dropout: Probability of dropout before the classifier; None means as published.
        stochastic_depth: Drop probability that the last block approaches; None means as published, 0.2.

    Raises:
        InvalidInputError: If the name is unknown, or a number is out of range.
    """
    if name not in ARCH_NAMES:
        raise invalid("architecture name", "known", name, did_you_mean(name, ARCH_NAMES))
    entry = _ENTRIES[name]
    width = exact(entry.width) * _multiplier("width_mult", width_mult)
    depth = exact(entry.depth) * _multiplier("depth_mult", depth_mult)
    if isinstance(round_limit, bool) or not isinstance(round_limit, int | float) or not 0 <= round_limit <= 1:
        raise invalid("round_limit", "a number from 0 to 1", round_limit, "Give 0 for no limit, or 0.9.")
    scaled = "" if width_mult == depth_mult == 1 else f" (width x {width_mult:g}, depth x {depth_mult:g})"
    return ArchSpec(
        stem_channels=round_channels(entry.stem_channels, width, round_limit),
        stages=tuple(_stage(row, width, depth, round_limit) for row in entry.rows),
        head_channels=round_channels(_HEAD_CHANNELS, width, round_limit) if head_channels is None else head_channels,
        stem_stride=stem_stride,
        dropout=entry.dropout if dropout is None else dropout,
        stochastic_depth=_STOCHASTIC_DEPTH if stochastic_depth is None else stochastic_depth,
        train_image_size=entry.train_image_size,
        eval_image_size=entry.eval_image_size,
        name=name + scaled,
    )


def load_arch(name_or_path: str) -> ArchSpec:
    """Return a published network by its name, or one from a JSON file: how a command line names a network.

    Raises:
        InvalidInputError: If it is neither, or the file does not describe a network.
    """
    if name_or_path in ARCH_NAMES:
        return get_arch(name_or_path)
    path = Path(name_or_path)
    if path.exists() or path.suffix == ".json" or len(path.parts) > 1:
        return ArchSpec.load(path)
    raise invalid("arch", "a JSON file or a published network", name_or_path, did_you_mean(name_or_path, ARCH_NAMES))


def round_channels(channels: Fraction | int, width: Fraction | float = 1, limit: Fraction | float = 0) -> int:
    """Return `channels * width` rounded to the nearest multiple of 8, halves up, and at least 8.

    Where that is less than `limit` times what was to be rounded it is 8 more. EfficientNetV2's code has no such limit.
    """
    wanted = channels * exact(width)
    rounded = max(8, math.floor((wanted + 4) / 8) * 8)
    return rounded + 8 if rounded < exact(limit) * wanted else rounded


def round_layers(layers: Fraction | int, depth: Fraction | float = 1) -> int:
    """Return `layers * depth` rounded up."""
    return math.ceil(layers * exact(depth))


def exact(factor: Fraction | float) -> Fraction:
    """Return the number that was written: 1.1 is 11/10, so that ten layers times 1.1 are 11 and not 12."""
    return factor if isinstance(factor, Fraction) else Fraction(str(factor))


def _stage(row: Row, width: Fraction, depth: Fraction, round_limit: float) -> StageSpec:
    block, expand_ratio, kernel_size, stride, out_channels, num_layers = row
    return StageSpec(
        block=block,
        expand_ratio=expand_ratio,
        kernel_size=kernel_size,
        stride=stride,
        out_channels=round_channels(out_channels, width, round_limit),
        num_layers=round_layers(num_layers, depth),
        se_ratio=0.25 if block == "mbconv" else 0.0,
    )


def _multiplier(name: str, value: float) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1000:
        raise invalid(name, "a number above 0, at most 1000", value, "Give a factor such as 1.2.")
    return exact(value)
