"""Networks as data: `ArchSpec` describes one, `StageSpec` one of its stages.

Both are frozen, checked when made, and written to and read from JSON. They know nothing of torch;
`nas.models.build_model` turns a spec into a network.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, astuple, dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, get_args

from nas.errors import InvalidInputError, did_you_mean, invalid
from nas.files import replace_file
from nas.html import html_table

BlockKind = Literal["mbconv", "fused"]
"""MBConv (inverted bottleneck with a depthwise convolution) or Fused-MBConv (one regular convolution instead)."""

FORMAT = "nas.arch/1"

# Limits on each number of a table, far beyond any useful network. Numbers within them can still multiply to
# terabytes of weights; the model builder limits the sum.
MAX_CHANNELS = 16_384
MAX_LAYERS = 256
MAX_STAGES = 32
MAX_IMAGE_SIZE = 4_096


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One residual unit with everything derived: what the builder builds and the cost model counts.

    Attributes:
        kind: "mbconv" or "fused".
        in_channels: Channels that come in.
        hidden_channels: Channels inside the block, `in_channels * expand_ratio`.
        out_channels: Channels that go out.
        kernel_size: Side of the spatial convolution, odd.
        stride: 1 or 2.
        se_channels: Squeezed channels of squeeze-excitation; 0 where there is none.
    """

    kind: BlockKind
    in_channels: int
    hidden_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    se_channels: int

    @property
    def expands(self) -> bool:
        """Whether the block widens its input first (`expand_ratio` above 1)."""
        return self.hidden_channels != self.in_channels

    @property
    def has_residual(self) -> bool:
        """Whether the input is added to the output: same size and same channels."""
        return self.stride == 1 and self.in_channels == self.out_channels


_BLOCK_VALUES = attrgetter(*(f.name for f in fields(BlockSpec)))
"""A block as a tuple; dataclasses.astuple copies deeply and takes ten times as long, on every ask of a search."""


@dataclass(frozen=True, slots=True)
class StageSpec:
    """Blocks that share `out_channels`; the first carries the stride (EfficientNetV2 paper, Table 4).

    Attributes:
        block: "mbconv" or "fused".
        expand_ratio: Hidden channels / input channels of each block, an integer from 1.
        kernel_size: Odd.
        stride: Stride of the first block, 1 or 2.
        out_channels: Channels after rounding.
        num_layers: Blocks in the stage.
        se_ratio: Squeeze-excitation channels relative to a block's *input* channels; 0 for none.
    """

    block: BlockKind
    expand_ratio: int
    kernel_size: int
    stride: int
    out_channels: int
    num_layers: int
    se_ratio: float = 0.0

    def __post_init__(self) -> None:
        if self.block not in get_args(BlockKind):
            raise invalid("block", '"mbconv" or "fused"', self.block, did_you_mean(self.block, get_args(BlockKind)))
        _check_int("expand_ratio", self.expand_ratio, 1, 64)
        _check_int("kernel_size", self.kernel_size, 1, 31)
        if self.kernel_size % 2 == 0:
            raise invalid("kernel_size", "odd", self.kernel_size, "Use 3 or 5.")
        _check_int("stride", self.stride, 1, 2)
        _check_int("out_channels", self.out_channels, 1, MAX_CHANNELS)
        _check_int("num_layers", self.num_layers, 1, MAX_LAYERS)
        object.__setattr__(self, "se_ratio", _fraction("se_ratio", self.se_ratio, upper_included=True))
        if self.block == "fused" and self.expand_ratio == 1 and self.se_ratio > 0:
            raise invalid(
                "se_ratio",
                "0 in a fused stage with expand_ratio 1 (a single convolution)",
                self.se_ratio,
                "Set it to 0.",
            )

    def blocks(self, in_channels: int) -> Iterator[BlockSpec]:
        """Yield the stage's blocks when `in_channels` come in."""
        for index in range(self.num_layers):
            yield BlockSpec(
                kind=self.block,
                in_channels=in_channels,
                hidden_channels=in_channels * self.expand_ratio,
                out_channels=self.out_channels,
                kernel_size=self.kernel_size,
                stride=self.stride if index == 0 else 1,
                se_channels=max(1, int(in_channels * self.se_ratio)) if self.se_ratio > 0 else 0,
            )
            in_channels = self.out_channels


@dataclass(frozen=True, slots=True)
class ArchSpec:
    """A convolutional network of the EfficientNetV2 family: stem, stages, head.

    Attributes:
        stem_channels: Output channels of the 3x3 stem convolution.
        stages: At least one stage, in order; a stage's input channels are the output channels before it.
        head_channels: Output channels of the 1x1 head convolution before pooling.
        stem_stride: 2 as published, 1 for small images.
        dropout: Probability of dropout before the classifier.
        stochastic_depth: Drop probability approached by the last block; it grows linearly with the block's index.
        train_image_size: Pixels a side in training; also the size at which step time is measured.
        eval_image_size: Pixels a side at validation; None means the training size.
        name: Free label; not part of `arch_id`.
    """

    stem_channels: int
    stages: tuple[StageSpec, ...]
    head_channels: int
    stem_stride: int = 2
    dropout: float = 0.2
    stochastic_depth: float = 0.2
    train_image_size: int = 224
    eval_image_size: int | None = None
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.stages, Iterable):
            raise invalid("stages", "a sequence of StageSpec", self.stages, "Build each stage with StageSpec(...).")
        object.__setattr__(self, "stages", tuple(self.stages))
        _check_int("stem_channels", self.stem_channels, 1, MAX_CHANNELS)
        _check_int("number of stages", len(self.stages), 1, MAX_STAGES)
        for stage in self.stages:
            if not isinstance(stage, StageSpec):
                raise invalid("stages", "a sequence of StageSpec", stage, "Build each stage with StageSpec(...).")
        _check_int("head_channels", self.head_channels, 1, MAX_CHANNELS)
        _check_int("stem_stride", self.stem_stride, 1, 2)
        object.__setattr__(self, "dropout", _fraction("dropout", self.dropout))
        object.__setattr__(self, "stochastic_depth", _fraction("stochastic_depth", self.stochastic_depth))
        _check_int("train_image_size", self.train_image_size, 1, MAX_IMAGE_SIZE)
        if self.eval_image_size is not None:
            _check_int("eval_image_size", self.eval_image_size, 1, MAX_IMAGE_SIZE)
        if not isinstance(self.name, str):
            raise invalid("name", "text", self.name, "Leave it out or give a short label.")

    def blocks(self) -> tuple[BlockSpec, ...]:
        """Return every block of the network in order, with its input channels derived."""
        found: list[BlockSpec] = []
        in_channels = self.stem_channels
        for stage in self.stages:
            found.extend(stage.blocks(in_channels))
            in_channels = stage.out_channels
        return tuple(found)

    @property
    def num_blocks(self) -> int:
        return sum(stage.num_layers for stage in self.stages)

    @property
    def total_stride(self) -> int:
        """Image size / size of the last feature map."""
        total = self.stem_stride
        for stage in self.stages:
            total *= stage.stride
        return total

    @property
    def arch_id(self) -> str:
        """Sixteen hexadecimal digits, equal for equal networks on every machine and in every Python run.

        The canonical form is the list of blocks, so that a stage written as two equal ones has the same identity.
        Dropout and stochastic depth are part of the network; image sizes and the name are not.
        """
        canonical = [
            self.stem_channels,
            self.stem_stride,
            [_BLOCK_VALUES(block) for block in self.blocks()],
            self.head_channels,
            self.dropout,
            self.stochastic_depth,
        ]
        return hashlib.sha256(json.dumps(canonical, separators=(",", ":")).encode()).hexdigest()[:16]

    @property
    def summary(self) -> str:
        """The stages in one line, for logs: "F4k3c24x2" is two Fused-MBConv4 blocks (M: MBConv) of 24 channels."""
        return " ".join(
            f"{'F' if stage.block == 'fused' else 'M'}{stage.expand_ratio}k{stage.kernel_size}"
            f"c{stage.out_channels}x{stage.num_layers}"
            for stage in self.stages
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a row per stage."""
        caption = (
            f"{self.name or self.arch_id}: stem of {self.stem_channels} channels, stride {self.stem_stride}; "
            f"head of {self.head_channels}; {self.train_image_size} pixels"
        )
        rows = [(number, *astuple(stage)) for number, stage in enumerate(self.stages, start=1)]
        return html_table(caption, ["stage", *(f.name for f in fields(StageSpec))], rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `ArchSpec.from_dict` is the inverse."""
        plain = asdict(self)
        return {"format": FORMAT, **plain, "stages": list(plain["stages"])}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "ArchSpec":
        """Read what `to_dict` wrote.

        Raises:
            InvalidInputError: On unknown or missing keys, or values out of range.
        """
        if not isinstance(plain, Mapping):
            raise invalid("architecture", "a JSON object", plain, "Write one with ArchSpec.save.")
        values = dict(plain)
        found = values.pop("format", FORMAT)
        if found != FORMAT:
            raise invalid("format", repr(FORMAT), found, "The file is of another kind or from another version.")
        _check_keys("architecture", values, cls)
        stages = values["stages"]
        if not isinstance(stages, list | tuple):
            raise invalid("stages", "a list", stages, "Give one object per stage.")
        values["stages"] = tuple(_stage_from_dict(number, stage) for number, stage in enumerate(stages, start=1))
        return cls(**values)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the spec as JSON; an existing file is replaced in one step, so that a reader never sees half."""
        replace_file(Path(path), json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "ArchSpec":
        """Read a spec from JSON.

        Raises:
            InvalidInputError: If the file cannot be read, is not JSON, or does not describe a network.
        """
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise invalid("architecture file", "readable", str(path), f"{error.strerror or error}.") from error
        except (ValueError, RecursionError) as error:
            raise invalid("architecture file", "JSON", str(path), f"It does not parse: {error}.") from error
        try:
            return cls.from_dict(plain)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: {error}") from error


def _stage_from_dict(number: int, plain: object) -> StageSpec:
    if not isinstance(plain, Mapping):
        raise invalid(f"stage {number}", "a JSON object", plain, "Give one object per stage.")
    try:
        _check_keys("stage", plain, StageSpec)
        return StageSpec(**plain)
    except InvalidInputError as error:
        raise InvalidInputError(f"stage {number}: {error}") from error


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise invalid(name, f"an integer from {low} to {high}", value, "Correct the value.")


def _fraction(name: str, value: object, *, upper_included: bool = False) -> float:
    rule = "a number from 0 to 1" if upper_included else "a number from 0 up to, not including, 1"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(name, rule, value, "Correct the value.")
    if not (0 <= value < 1 or (upper_included and value == 1)):
        raise invalid(name, rule, value, "Correct the value.")
    return float(value) + 0.0  # Adding zero turns -0.0, which is equal to 0.0 but prints differently, into 0.0.


def _check_keys(what: str, values: Mapping[str, Any], cls: type[ArchSpec] | type[StageSpec]) -> None:
    known = {f.name for f in fields(cls)}
    unknown = [key for key in values if key not in known]
    if unknown:
        raise invalid(f"{what} keys", f"among {', '.join(sorted(known))}", unknown[0], did_you_mean(unknown[0], known))
    required = [f.name for f in fields(cls) if f.default is MISSING]
    missing = [name for name in required if name not in values]
    if missing:
        raise invalid(f"{what} keys", f"complete ({', '.join(required)})", sorted(values), f"Add {missing[0]!r}.")
