"""From one network to a family: S, M and L (Tan & Le 2021, section 3.3).

The paper scales S by EfficientNet's compound scaling, limits images to 480 pixels and adds layers to later stages, and
prints no formula. The rule here is read off the published tables. It takes the coefficients of EfficientNet's B4, B5
and B7, relative to a base network that is first recovered from S, makes the last stage but one deeper, and adds one
more stage, with stride 1, at the end.

Applied to EfficientNetV2-S the rule gives the published layers of M and L, stems, heads, image sizes, dropout, and all
widths but these, where the published tables prefer rounder numbers than a rule gives:

===== ================= ========= =====
size  stage             published rule
===== ================= ========= =====
M     4                 160       144
M     6                 304       296
M     7                 512       488
L     4                 192       184
L     6                 384       368
L     7                 640       616
===== ================= ========= =====
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from nas.models.zoo import exact, round_channels, round_layers
from nas.spec import MAX_CHANNELS, MAX_LAYERS, MAX_STAGES, ArchSpec, StageSpec


@dataclass(frozen=True, slots=True)
class _Coefficients:
    width: Fraction
    depth: Fraction
    extra_dropout: Fraction


_S = _Coefficients(exact(1.4), exact(1.8), exact(0.0))
_LARGER = {
    "M": _Coefficients(exact(1.6), exact(2.2), exact(0.1)),
    "L": _Coefficients(exact(2.0), exact(3.1), exact(0.2)),
}

# The last stage but one has 5 base layers in S, 6 in M and L. The stage that M and L have more has 2 base layers and
# 320 base channels after a stage with 8 and 192. Two is also the most: a network whose last stage is shallow gets a
# shallow one more, or none, which would otherwise be most of the network.
_DEEPER = Fraction(6, 5)
_ADDED_LAYERS, _MAX_ADDED_LAYERS = Fraction(2, 8), Fraction(2)
_ADDED_WIDTH = Fraction(320, 192)

_TRAIN_GROWTH, _MAX_TRAIN_SIZE = Fraction(384, 300), 384
_EVAL_GROWTH, _MAX_EVAL_SIZE = Fraction(480, 384), 480
_MAX_DROPOUT = 0.5


@dataclass(frozen=True, slots=True)
class _BaseStage:
    """A stage before scaling; `floor` is the stage of S, which larger networks do not fall below.

    `is_added` says that S does not have it.
    """

    layers: Fraction
    channels: Fraction
    floor: StageSpec
    is_added: bool = False


def scale_family(spec: ArchSpec) -> dict[str, ArchSpec]:
    """Return the family of `spec`: "S", which is `spec` itself, "M" and "L".

    M and L have at least the layers, channels and image sizes of the size below in every stage. Layers are rounded up
    as in the published tables where S has a whole base, and to the nearest number elsewhere, so that a stage of one
    layer does not double for a factor of 1.2; the added stage is left out where it rounds to none. Dropout grows by 0.1
    a size, up to 0.5. The head and stochastic depth stay. Image sizes grow by 384/300 in training, up to 384, and by
    480/384 at validation, up to 480; sizes below 100 are multiples of 8, others of the network's total stride.
    """
    stages = _base_stages(spec)
    stem = _base_channels(spec.stem_channels)
    train_size, eval_size = _image_sizes(spec)
    family = {"S": replace(spec, name="S")}
    for name, factors in _LARGER.items():
        family[name] = replace(
            spec,
            stem_channels=_channels(stem, factors, spec.stem_channels),
            stages=tuple(scaled for stage in stages if (scaled := _scale(stage, factors)) is not None),
            dropout=max(spec.dropout, min(float(exact(spec.dropout) + factors.extra_dropout), _MAX_DROPOUT)),
            train_image_size=train_size,
            eval_image_size=eval_size,
            name=name,
        )
    return family


def _base_stages(spec: ArchSpec) -> list[_BaseStage]:
    """Recover the base of S and apply to it what M and L have in addition."""
    base = [_BaseStage(_base_layers(s.num_layers), _base_channels(s.out_channels), s) for s in spec.stages]
    last = base[-1]
    if len(base) >= 3:  # With fewer, the stage before the last is also the first, and no later stage.
        base[-2] = replace(base[-2], layers=base[-2].layers * _DEEPER)
    if len(base) < MAX_STAGES:
        layers = min(last.layers * _ADDED_LAYERS, _MAX_ADDED_LAYERS)
        floor = replace(last.floor, stride=1, num_layers=1)
        base.append(_BaseStage(layers, last.channels * _ADDED_WIDTH, floor, is_added=True))
    return base


def _base_layers(num_layers: int) -> Fraction:
    """Return the whole number that S's depth rounds to `num_layers`, or the fraction where there is none."""
    whole = math.floor(num_layers / _S.depth)
    return Fraction(whole) if round_layers(whole, _S.depth) == num_layers else num_layers / _S.depth


def _base_channels(channels: int) -> Fraction:
    """Return the multiple of 8 that S's width rounds to `channels`, or the fraction where there is none."""
    below = math.floor(channels / _S.width / 8) * 8
    for base in (below, below + 8):
        if base > 0 and round_channels(base, _S.width) == channels:
            return Fraction(base)
    return channels / _S.width


def _scale(stage: _BaseStage, factors: _Coefficients) -> StageSpec | None:
    """Return a stage of a larger network; None where that has no layers."""
    if stage.layers.denominator == 1:
        num_layers = round_layers(stage.layers, factors.depth)
    else:
        num_layers = math.floor(stage.layers * factors.depth + Fraction(1, 2))
    if stage.is_added and num_layers == 0:
        return None
    return replace(
        stage.floor,
        num_layers=min(max(num_layers, stage.floor.num_layers), MAX_LAYERS),
        out_channels=_channels(stage.channels, factors, stage.floor.out_channels),
    )


def _channels(base: Fraction, factors: _Coefficients, floor: int) -> int:
    return min(max(round_channels(base, factors.width), floor), MAX_CHANNELS)


def _image_sizes(spec: ArchSpec) -> tuple[int, int | None]:
    """Return training and validation sizes of M and L; the latter stays None where S has none of its own."""
    train_size = _grow(spec.train_image_size, _TRAIN_GROWTH, _MAX_TRAIN_SIZE, spec.total_stride)
    if spec.eval_image_size is None:
        return train_size, None
    eval_size = _grow(spec.eval_image_size, _EVAL_GROWTH, _MAX_EVAL_SIZE, spec.total_stride)
    if spec.eval_image_size >= spec.train_image_size:
        eval_size = max(eval_size, train_size)
    return train_size, eval_size


def _grow(size: int, growth: Fraction, limit: int, total_stride: int) -> int:
    unit = 8 if size < 100 else min(max(total_stride, 8), 32)
    return max(size, min(round(size * growth / unit) * unit, limit))
