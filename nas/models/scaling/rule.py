"""From one network to a family: S, M, L and XL (Tan & Le 2021, section 3.3).

The paper scales S by EfficientNet's compound scaling, limits images to 480 pixels and adds layers to later stages, and
prints no formula. The rule here is read off the published tables. It takes EfficientNet's coefficients
(`nas.models.scaling.coefficients`), relative to a base network that is given or first recovered from S, makes the last
stage but one deeper, and adds one more stage, with stride 1, at the end. XL makes the stage before that deeper too, and
the last two stages of S wider.

Applied to the base list, which is B0, the rule gives the published layers of S, M, L and XL, stems, heads, image sizes
and dropout, and all widths but three. Applied to the published S it gives the same layers, and other widths in nine
rows, as it cannot know that S's own tables were rounded. Both lists are in `nas.models.scaling.published`. Row by row,
XL from the published S is (channels x layers; with 1000 classes 192.8M parameters in place of 208.1M):

=========== ==== ==== ==== ====== ====== ====== =====
stage       1    2    3    4      5      6      7
=========== ==== ==== ==== ====== ====== ====== =====
published   32x4 64x8 96x8 192x16 256x24 512x32 640x8
rule        32x4 64x8 96x8 184x16 256x24 488x32 616x8
=========== ==== ==== ==== ====== ====== ====== =====

Widths that grow unevenly are a trap: a second layer behind a stage's first sees that stage's own width, which after a
narrow neck can be a hundred times the weights of all layers before. So a stage is given no layer that would lift its
weights above `_MAX_EXCESS` times what depth * width^2 makes of them; this touches no published network.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from nas.complexity import stage_params
from nas.errors import did_you_mean, invalid
from nas.models.scaling.coefficients import BASE, XL, Coefficients, L, M, S, coefficients_at
from nas.models.zoo import exact, round_channels, round_layers
from nas.spec import MAX_CHANNELS, MAX_LAYERS, MAX_STAGES, ArchSpec, StageSpec

SIZES = ("S", "M", "L", "XL")
"""Names of the sizes of a family, smallest first."""

_FACTORS = {"S": S, "M": M, "L": L, "XL": XL}

# The stage that M and L have more has 2 base layers and 320 base channels after a stage with 8 and 192. Two is also
# the most: a network whose last stage is shallow gets a shallow one more, or none, which would otherwise be most of
# the network.
_ADDED_LAYERS, _MAX_ADDED_LAYERS = Fraction(2, 8), Fraction(2)
_ADDED_WIDTH = Fraction(320, 192)

_MAX_EXCESS = 3
"""Any number from 1.75 leaves the published tables as they are. Where a stage is twice as wide as its input, L's second
layer takes 2.1 for MBConv6 and 2.7 for Fused-MBConv4."""

_TRAIN_GROWTH, _MAX_TRAIN_SIZE = Fraction(384, 300), 384
_EVAL_GROWTH, _MAX_EVAL_SIZE = Fraction(480, 384), 480
_XL_EVAL_GROWTH, _XL_MAX_EVAL_SIZE = Fraction(512, 384), 512
_BASE_TRAIN_GROWTH, _BASE_EVAL_GROWTH = Fraction(300, 192), Fraction(384, 224)
_MAX_DROPOUT = 0.5


def scale_family(spec: ArchSpec, sizes: tuple[str, ...] = ("S", "M", "L")) -> dict[str, ArchSpec]:
    """Return the family of `spec`: "S", which is `spec` itself, and larger sizes.

    Each size has at least the layers, channels and image sizes of the size below in every stage. Layers are rounded up
    as in the published tables where S has a whole base, and to the nearest number elsewhere, so that a stage of one
    layer does not double for a factor of 1.2; the added stage is left out where it rounds to none. A stage gets no
    layer that would make it many times as large as the rule says. Dropout grows by 0.1 a size up to L, up to 0.5. The
    head and stochastic depth stay. Image sizes grow by 384/300 in training, up to 384, and by 480/384 at validation, up
    to 480 (XL: by 512/384, up to 512); sizes below 100 are multiples of 8, others of the network's total stride.

    Args:
        spec: S.
        sizes: Which of `SIZES` to return.

    Raises:
        InvalidInputError: If a size is unknown.
    """
    _check_sizes(sizes)
    return _family(_Base.recovered(spec), replace(spec, name="S"), sizes)


def scale_base(spec: ArchSpec, sizes: tuple[str, ...] = SIZES) -> dict[str, ArchSpec]:
    """Return the family over a base network, such as EfficientNetV2-B0 for the published one.

    S has 1.4 times the channels and 1.8 times the layers of the base, a stem as wide as its first stage, and images
    larger by 300/192 in training and 384/224 at validation. The sizes above follow as in `scale_family`, from the base
    itself.

    Args:
        spec: The base.
        sizes: Which of `SIZES` to return.

    Raises:
        InvalidInputError: If a size is unknown.
    """
    _check_sizes(sizes)
    # B0's stem is twice as wide as its first stage; S, M, L and XL have them equal.
    spec = replace(spec, stem_channels=spec.stages[0].out_channels)
    base = _Base.given(spec)
    # 300 is a multiple of 4 only.
    train_size = _grow(spec.train_image_size, _BASE_TRAIN_GROWTH, _MAX_TRAIN_SIZE, unit=4)
    eval_size = spec.eval_image_size and _grow(spec.eval_image_size, _BASE_EVAL_GROWTH, _MAX_EVAL_SIZE, unit=4)
    smallest = replace(base.scale(S, spec), train_image_size=train_size, eval_image_size=eval_size, name="S")
    return _family(base, smallest, sizes)


def scale_by_step(spec: ArchSpec, step: float) -> ArchSpec:
    """Return `spec` scaled by a compound coefficient: 0 is itself, 1 is M, 3 is L; image sizes stay."""
    return spec if step == 0 else _Base.recovered(spec).scale(coefficients_at(step), spec)


def _check_sizes(sizes: tuple[str, ...]) -> None:
    if not sizes:
        raise invalid("sizes", "at least one", sizes, f"Choose from: {', '.join(SIZES)}.")
    for size in sizes:
        if size not in SIZES:
            raise invalid("sizes", f"among {', '.join(SIZES)}", size, did_you_mean(size, SIZES))


def _family(base: "_Base", smallest: ArchSpec, sizes: tuple[str, ...]) -> dict[str, ArchSpec]:
    family = {"S": smallest}
    for below, size in pairwise(SIZES):
        scaled = base.scale(_FACTORS[size], family[below])
        train_size, eval_size = _image_sizes(smallest, size)
        family[size] = replace(scaled, train_image_size=train_size, eval_image_size=eval_size, name=size)
    return {size: family[size] for size in SIZES if size in sizes}


@dataclass(frozen=True, slots=True)
class _BaseStage:
    """A stage before scaling.

    Attributes:
        layers: May be a fraction.
        channels: Likewise.
        pattern: The stage of the given network; a scaled one has its block, kernel and so on.
        num_params: Of `pattern` in the given network.
    """

    layers: Fraction
    channels: Fraction
    pattern: StageSpec
    num_params: int


@dataclass(frozen=True, slots=True)
class _Base:
    """A network before scaling.

    Attributes:
        dropout: Of the given network.
        stem: Base channels of the stem.
        stages: Those that S has.
        added: The one that larger sizes have more; None where the limit of stages is reached.
        given_as: The coefficients that lead from the base to the given network.
    """

    dropout: float
    stem: Fraction
    stages: tuple[_BaseStage, ...]
    added: _BaseStage | None
    given_as: Coefficients

    @classmethod
    def recovered(cls, spec: ArchSpec) -> "_Base":
        """Take `spec` for S and recover what it was scaled from."""
        layers = [_base_layers(stage.num_layers) for stage in spec.stages]
        channels = [_base_channels(stage.out_channels) for stage in spec.stages]
        return cls._make(spec, _base_channels(spec.stem_channels), layers, channels, S)

    @classmethod
    def given(cls, spec: ArchSpec) -> "_Base":
        """Take `spec` for the base itself."""
        layers = [Fraction(stage.num_layers) for stage in spec.stages]
        channels = [Fraction(stage.out_channels) for stage in spec.stages]
        return cls._make(spec, Fraction(spec.stem_channels), layers, channels, BASE)

    @classmethod
    def _make(
        cls, spec: ArchSpec, stem: Fraction, layers: list[Fraction], channels: list[Fraction], given_as: Coefficients
    ) -> "_Base":
        widths = [spec.stem_channels, *(stage.out_channels for stage in spec.stages)]
        stages = tuple(
            _BaseStage(num_layers, out_channels, stage, stage_params(stage, in_channels))
            for num_layers, out_channels, stage, in_channels in zip(layers, channels, spec.stages, widths, strict=False)
        )
        last, added = stages[-1], None
        if len(stages) < MAX_STAGES:
            added = replace(
                last,
                layers=min(last.layers * _ADDED_LAYERS, _MAX_ADDED_LAYERS),
                channels=last.channels * _ADDED_WIDTH,
                pattern=replace(last.pattern, stride=1),
            )
        return cls(spec.dropout, stem, stages, added, given_as)

    def scale(self, factors: Coefficients, floor: ArchSpec) -> ArchSpec:
        """Return the network at `factors`, in no stage smaller than `floor`, whose image sizes it keeps."""
        stem = _channels(self.stem * factors.width, floor.stem_channels)
        scaled: list[StageSpec] = []
        for index, stage in enumerate(self.stages):
            deeper, wider = self._later(factors, index)
            width = scaled[-1].out_channels if scaled else stem
            found = self._scale(stage, factors, deeper, wider, width, floor.stages[index])
            scaled.append(found or floor.stages[index])
        if self.added is not None:
            below = floor.stages[-1] if len(floor.stages) > len(self.stages) else None
            width = scaled[-1].out_channels
            if found := self._scale(self.added, factors, factors.added, Fraction(1), width, below):
                scaled.append(found)
        dropout = min(float(exact(self.dropout) + factors.extra_dropout), _MAX_DROPOUT)
        return replace(floor, stem_channels=stem, stages=tuple(scaled), dropout=max(floor.dropout, dropout))

    def _later(self, factors: Coefficients, index: int) -> tuple[Fraction, Fraction]:
        """Return what a stage is deeper and wider by. With few stages the first is no later stage."""
        position = index - len(self.stages)
        if position < -3 or (position < -1 and index == 0):
            return Fraction(1), Fraction(1)
        return factors.deeper[position], factors.wider[position]

    def _scale(
        self,
        stage: _BaseStage,
        factors: Coefficients,
        deeper: Fraction,
        wider: Fraction,
        in_channels: int,
        floor: StageSpec | None,
    ) -> StageSpec | None:
        """Return one stage of a larger network; None where that has no layers."""
        layers, least = stage.layers * deeper, floor.num_layers if floor else 0
        whole = layers.denominator == 1
        num_layers = round_layers(layers, factors.depth) if whole else _nearest(layers * factors.depth)
        out_channels = max(stage.pattern.out_channels, floor.out_channels if floor else 0)
        one = replace(
            stage.pattern,
            num_layers=1,
            out_channels=_channels(stage.channels * factors.width * wider, out_channels),
        )
        growth = factors.depth * deeper * (factors.width * wider) ** 2 / (self.given_as.depth * self.given_as.width**2)
        affordable = _layers_within(_MAX_EXCESS * growth * stage.num_params, one, in_channels)
        num_layers = min(max(min(num_layers, affordable), least), MAX_LAYERS)
        return replace(one, num_layers=num_layers) if num_layers else None


def _layers_within(num_params: Fraction, one: StageSpec, in_channels: int) -> int:
    """Return how many layers the stage `one`, of one layer, can have with at most `num_params` parameters."""
    first = stage_params(one, in_channels)
    more = stage_params(replace(one, num_layers=2), in_channels) - first
    return max(0, 1 + math.floor((num_params - first) / more))


def _nearest(layers: Fraction) -> int:
    return math.floor(layers + Fraction(1, 2))


def _base_layers(num_layers: int) -> Fraction:
    """Return the whole number that S's depth rounds to `num_layers`, or the fraction where there is none."""
    whole = math.floor(num_layers / S.depth)
    return Fraction(whole) if round_layers(whole, S.depth) == num_layers else num_layers / S.depth


def _base_channels(channels: int) -> Fraction:
    """Return the multiple of 8 that S's width rounds to `channels`, or the fraction where there is none."""
    below = math.floor(channels / S.width / 8) * 8
    for base in (below, below + 8):
        if base > 0 and round_channels(base, S.width) == channels:
            return Fraction(base)
    return channels / S.width


def _channels(channels: Fraction, floor: int) -> int:
    return min(max(round_channels(channels), floor), MAX_CHANNELS)


def _image_sizes(smallest: ArchSpec, size: str) -> tuple[int, int | None]:
    """Return training and validation sizes above S; the latter stays None where S has none of its own."""
    growth, limit = (_XL_EVAL_GROWTH, _XL_MAX_EVAL_SIZE) if size == "XL" else (_EVAL_GROWTH, _MAX_EVAL_SIZE)
    stride = smallest.total_stride
    train_size = _grow(
        smallest.train_image_size, _TRAIN_GROWTH, _MAX_TRAIN_SIZE, _unit(smallest.train_image_size, stride)
    )
    if smallest.eval_image_size is None:
        return train_size, None
    eval_size = _grow(smallest.eval_image_size, growth, limit, _unit(smallest.eval_image_size, stride))
    if smallest.eval_image_size >= smallest.train_image_size:
        eval_size = max(eval_size, train_size)
    return train_size, eval_size


def _unit(size: int, total_stride: int) -> int:
    return 8 if size < 100 else min(max(total_stride, 8), 32)


def _grow(size: int, growth: Fraction, limit: int, unit: int) -> int:
    return max(size, min(round(size * growth / unit) * unit, limit))
