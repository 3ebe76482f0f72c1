"""Search spaces: named, ordered choices that decode to an `ArchSpec`.

A space is *static*: every trial is asked for the same parameters, whatever the others are, so that a sampler sees one
joint space. `StagewiseSpace` is the factorised space of MnasNet (Tan et al. 2019, section 4.1) as EfficientNetV2 uses
it (Tan & Le 2021, section 3.3); other layouts subclass `SearchSpace` and implement `decode` and `encode`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from nas.complexity import complexity
from nas.errors import invalid
from nas.spec import ArchSpec, BlockKind, StageSpec

if TYPE_CHECKING:
    import optuna

Value = str | int
Params = Mapping[str, Value]
"""A flat dictionary from parameter name to chosen value: what Optuna stores for a trial."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits on what a space's networks may cost; None means no limit.

    Attributes:
        min_num_params: Least learnable parameters, at ten classes and three input channels.
        max_num_params: Most learnable parameters, likewise.
        max_num_macs: Most multiply-adds of one forward pass at the training image size.
        max_num_activations: Most values written by convolutions in one forward pass; what a training step on a
            small network costs follows it more closely than the multiply-adds.
    """

    min_num_params: int | None = None
    max_num_params: int | None = None
    max_num_macs: int | None = None
    max_num_activations: int | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and value < 1:
                raise invalid(limit.name, "at least 1, or None", value, "Correct the bounds.")
        if (self.min_num_params or 0) > (self.max_num_params or math.inf):
            raise invalid(
                "min_num_params", f"at most {self.max_num_params}", self.min_num_params, "Correct the bounds."
            )

    def excess(self, spec: ArchSpec) -> float:
        """Return by what factor, as a natural logarithm, `spec` is outside: 0 or less is inside; lower is better."""
        cost = complexity(spec, num_classes=10, in_channels=3)
        ratios = [
            actual / limit
            for actual, limit in (
                (cost.num_params, self.max_num_params),
                (cost.num_macs, self.max_num_macs),
                (cost.num_activations, self.max_num_activations),
            )
            if limit is not None
        ]
        if self.min_num_params is not None:
            ratios.append(self.min_num_params / cost.num_params)
        return math.log(max(ratios)) if ratios else 0.0


class SearchSpace(ABC):
    """Named choices and what they mean.

    Args:
        name: Short name, used in manifests.
        choices: For each parameter its values, ordered where they have an order. A parameter with a single value is
            fixed: it is decoded but never suggested.
        bounds: Limits on the cost of the networks; candidates outside are never trained.
        references: Known good starting points by name, as parameters; the first is the network that step time and
            parameters are stated relative to.
    """

    def __init__(
        self,
        name: str,
        choices: Mapping[str, tuple[Value, ...]],
        *,
        bounds: Bounds | None = None,
        references: Mapping[str, Params] | None = None,
    ) -> None:
        for key, values in choices.items():
            if len(values) == 0 or len(set(values)) != len(values):
                raise invalid(f"choices of {key}", "one or more distinct values", values, "Correct the space.")
        self.name = name
        self.choices = {key: tuple(values) for key, values in choices.items() if len(values) > 1}
        self.fixed = {key: values[0] for key, values in choices.items() if len(values) == 1}
        self.bounds = bounds or Bounds()
        self.references: dict[str, dict[str, Value]] = {}
        for key, params in (references or {}).items():
            self.check(params)
            self.references[key] = {choice: params[choice] for choice in self.choices}

    @abstractmethod
    def decode(self, params: Params) -> ArchSpec:
        """Return the network that `params` stand for; fixed parameters may be left out.

        Raises:
            InvalidInputError: If `params` are not of this space (see `check`).
        """

    @abstractmethod
    def encode(self, spec: ArchSpec) -> dict[str, Value]:
        """Return the parameters, fixed ones left out, that decode to a network equal to `spec` (same `arch_id`).

        Raises:
            InvalidInputError: If the space does not hold `spec`.
        """

    @property
    def reference(self) -> ArchSpec:
        """The network that relative step time and relative parameters refer to."""
        params = next(iter(self.references.values()), None)
        return self.decode(params if params is not None else {k: v[len(v) // 2] for k, v in self.choices.items()})

    @property
    def num_configurations(self) -> int:
        """How many parameter combinations there are; some may decode to equal networks or lie outside the bounds."""
        return math.prod(len(values) for values in self.choices.values())

    def check(self, params: Params) -> None:
        """Raise InvalidInputError unless `params` name one value for every choice and nothing else."""
        unknown = set(params) - set(self.choices) - set(self.fixed)
        missing = set(self.choices) - set(params)
        if unknown or missing:
            what = sorted(unknown) or sorted(missing)
            todo = "Leave them out." if unknown else "Give a value for each."
            raise invalid(f"parameters of space {self.name}", f"exactly {sorted(self.choices)}", what, todo)
        for key, value in params.items():
            allowed = self.choices.get(key) or (self.fixed[key],)
            if value not in allowed:
                raise invalid(key, f"one of {list(allowed)}", value, f"Space {self.name} has no other value.")

    def suggest(self, trial: "optuna.trial.BaseTrial") -> ArchSpec:
        """Ask an Optuna trial for every choice and return the network it stands for."""
        return self.decode({key: trial.suggest_categorical(key, values) for key, values in self.choices.items()})  # type: ignore[misc]

    def excess(self, spec: ArchSpec) -> float:
        """Return how far `spec` is outside the bounds (see `Bounds.excess`): 0 or less is inside."""
        return self.bounds.excess(spec)

    def sample(self, rng: np.random.Generator | int, *, max_tries: int = 10_000) -> dict[str, Value]:
        """Draw parameters uniformly among those whose network lies inside the bounds.

        Raises:
            InvalidInputError: If `max_tries` draws in a row are all outside the bounds.
        """
        rng = np.random.default_rng(rng)
        for _ in range(max_tries):
            params = {key: values[int(rng.integers(len(values)))] for key, values in self.choices.items()}
            if self.excess(self.decode(params)) <= 0:
                return params
        raise invalid("bounds", "wide enough to be met by chance", self.bounds, f"Widen those of space {self.name}.")

    def neighbours(self, params: Params) -> Iterator[dict[str, Value]]:
        """Yield all parameters that differ from `params` in exactly one choice and lie inside the bounds."""
        self.check(params)
        for key, values in self.choices.items():
            for value in values:
                if value != params[key]:
                    changed = {**params, key: value}
                    if self.excess(self.decode(changed)) <= 0:
                        yield changed

    def __repr__(self) -> str:
        size = f"{len(self.choices)} choices, {self.num_configurations:.3g} configurations"
        return f"{type(self).__name__}({self.name!r}, {size})"


@dataclass(frozen=True, slots=True)
class StageChoices:
    """What may be chosen for one stage; a single value fixes the choice."""

    num_layers: tuple[int, ...]
    out_channels: tuple[int, ...]
    block: tuple[BlockKind, ...] = ("mbconv", "fused")
    expand_ratio: tuple[int, ...] = (1, 4, 6)
    kernel_size: tuple[int, ...] = (3, 5)


_STAGE_FIELDS = ("block", "expand_ratio", "kernel_size", "num_layers", "out_channels")


@dataclass(frozen=True)
class Skeleton:
    """What a stage-wise space does not search.

    Attributes:
        strides: One or more patterns of strides, the stem's first, then one per stage. With several, where to
            downsample is a choice of its own, so that every pattern can keep the last feature map large enough.
        se_ratio: Squeeze-excitation ratio by kind of block; as published, only MBConv has it.
    """

    stem_channels: int
    head_channels: int
    strides: tuple[tuple[int, ...], ...]
    train_image_size: int
    eval_image_size: int | None = None
    dropout: float = 0.2
    stochastic_depth: float = 0.2
    se_ratio: Mapping[BlockKind, float] = field(default_factory=lambda: {"mbconv": 0.25, "fused": 0.0})


class StagewiseSpace(SearchSpace):
    """Block type, expansion ratio, kernel, layers and width chosen per stage, all blocks of a stage alike.

    Parameters are called `s1_block`, `s1_expand_ratio`, `s1_kernel_size`, `s1_num_layers`, `s1_out_channels`, `s2_...`
    and `strides`, whose values are texts such as "2-1-2-2" (stem, then stages).
    """

    def __init__(
        self,
        name: str,
        stages: tuple[StageChoices, ...],
        skeleton: Skeleton,
        *,
        bounds: Bounds | None = None,
        references: Mapping[str, Params] | None = None,
    ) -> None:
        for pattern in skeleton.strides:
            if len(pattern) != len(stages) + 1:
                raise invalid(
                    "strides", f"{len(stages) + 1} numbers (stem, then stages)", pattern, "Correct the space."
                )
        self.num_stages = len(stages)
        self.skeleton = skeleton
        choices: dict[str, tuple[Value, ...]] = {"strides": tuple(_join(pattern) for pattern in skeleton.strides)}
        for index, stage in enumerate(stages, start=1):
            choices |= {f"s{index}_{name}": getattr(stage, name) for name in _STAGE_FIELDS}
        super().__init__(name, choices, bounds=bounds, references=references)
        self._check_choices()

    def _check_choices(self) -> None:
        """Decode every value once: one that no network can have must not wait for the middle of a search."""
        first = {key: values[0] for key, values in self.choices.items()}
        self.decode(first)
        for key, values in self.choices.items():
            for value in values:
                self.decode({**first, key: value})

    def decode(self, params: Params) -> ArchSpec:
        self.check(params)
        values = {**self.fixed, **params}
        stem_stride, *strides = (int(part) for part in str(values["strides"]).split("-"))
        stages = []
        for index, stride in enumerate(strides, start=1):
            chosen = {name: values[f"s{index}_{name}"] for name in _STAGE_FIELDS}
            single_conv = chosen["block"] == "fused" and chosen["expand_ratio"] == 1
            se_ratio = 0.0 if single_conv else self.skeleton.se_ratio[chosen["block"]]  # type: ignore[index]
            stages.append(StageSpec(**chosen, stride=stride, se_ratio=se_ratio))  # type: ignore[arg-type]
        return ArchSpec(
            stem_channels=self.skeleton.stem_channels,
            stem_stride=stem_stride,
            stages=tuple(stages),
            head_channels=self.skeleton.head_channels,
            dropout=self.skeleton.dropout,
            stochastic_depth=self.skeleton.stochastic_depth,
            train_image_size=self.skeleton.train_image_size,
            eval_image_size=self.skeleton.eval_image_size,
        )

    def encode(self, spec: ArchSpec) -> dict[str, Value]:
        if len(spec.stages) != self.num_stages:
            raise invalid(
                "number of stages", f"{self.num_stages} in space {self.name}", len(spec.stages), "Use another space."
            )
        values: dict[str, Value] = {"strides": _join((spec.stem_stride, *(stage.stride for stage in spec.stages)))}
        for index, stage in enumerate(spec.stages, start=1):
            values |= {f"s{index}_{name}": getattr(stage, name) for name in _STAGE_FIELDS}
        self.check(values)
        if self.decode(values).arch_id != spec.arch_id:
            raise invalid(
                "architecture",
                f"one of space {self.name}",
                spec.name or spec.arch_id,
                "Stem, head, SE or dropout differ.",
            )
        return {key: value for key, value in values.items() if key in self.choices}


def _join(pattern: tuple[int, ...]) -> str:
    return "-".join(str(stride) for stride in pattern)
