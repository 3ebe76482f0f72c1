"""`ProgressiveSchedule`: image size and regularisation that grow together, as plain numbers for any training loop.

Small images come first, with little regularisation; both grow in stages (Tan & Le 2021, section 4, Algorithm 1).
No torch.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nas.errors import did_you_mean, invalid

NUM_STAGES = 4
_REFERENCE_SIZE = 300
_FIRST_SHARE = 128 / _REFERENCE_SIZE
"""Of the last stage's image size, in the first stage of EfficientNetV2-S (Table 6)."""

Range = tuple[float, float]
"""From the first stage to the last."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of a training.

    Attributes:
        image_size: Pixels a side.
        share: Of all epochs; those of all stages add up to 1.
        batch_size: Images in a step; None for that of the recipe.
        randaugment_magnitude: Strength of RandAugment on its scale of 10, which may be exceeded; 0 is off.
        mixup_alpha: Of the Beta distribution that MixUp draws its shares from; 0 is off.
        cutmix_alpha: Likewise for CutMix.
        dropout: Probability before the classifier; None leaves the network as it was built.
        stochastic_depth: Probability that the last block is dropped; None leaves the network as it was built.
        random_erasing: Probability that a part of an image is erased; 0 is off.
    """

    image_size: int
    share: float = 1.0
    batch_size: int | None = None
    randaugment_magnitude: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    dropout: float | None = None
    stochastic_depth: float | None = None
    random_erasing: float = 0.0

    def __post_init__(self) -> None:
        if self.image_size < 8:
            raise invalid("image_size", "at least 8", self.image_size, "Choose larger images.")
        if not 0 < self.share <= 1:
            raise invalid("share", "above 0 and at most 1", self.share, "It is a share of all epochs.")
        if self.batch_size is not None and self.batch_size < 2:
            raise invalid("batch_size", "at least 2", self.batch_size, "BatchNorm needs two images.")
        for name in ("randaugment_magnitude", "mixup_alpha", "cutmix_alpha"):
            if not 0 <= getattr(self, name) < math.inf:
                raise invalid(name, "0 or more and finite", getattr(self, name), "0 turns it off.")
        for name in ("dropout", "stochastic_depth", "random_erasing"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise invalid(name, "from 0 up to, not including, 1", value, "It is a probability.")


REGULARISERS = (
    *("randaugment_magnitude", "mixup_alpha", "cutmix_alpha"),
    *("dropout", "stochastic_depth", "random_erasing"),
)


@dataclass(frozen=True, slots=True)
class ProgressiveSchedule:
    """How image size and regularisation go in a training.

    Attributes:
        stages: One after the other.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise invalid("stages", "at least one", 0, "A training has images of some size.")
        total = sum(stage.share for stage in self.stages)
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise invalid("shares of the stages", "1 in all", total, "They are shares of all epochs.")

    @classmethod
    def linear(
        cls,
        image_size: Range,
        *,
        num_stages: int = NUM_STAGES,
        size_multiple: int = 1,
        **regularisers: Range | None,
    ) -> "ProgressiveSchedule":
        """Return equal stages in which everything grows in equal steps: Algorithm 1.

        Args:
            image_size: Pixels a side of the first and the last stage.
            num_stages: One has the last stage's values.
            size_multiple: All sizes but the last are rounded to a multiple of this, unless that is above the last.
            regularisers: Fields of `Stage` by name, each with its values in the first and the last stage; None leaves
                them out.

        Raises:
            InvalidInputError: If a name is unknown or a value out of its range.
        """
        _check_stages(num_stages)
        shares = [index / (num_stages - 1) for index in range(num_stages)] if num_stages > 1 else [1.0]
        last = round(image_size[1])
        sizes = [round(_between(image_size, share) / size_multiple) * size_multiple for share in shares[:-1]]
        return cls._of([*(min(size, last) for size in sizes), last], shares, regularisers)

    @classmethod
    def released(
        cls, image_size: Range, *, num_stages: int = NUM_STAGES, **regularisers: Range | None
    ) -> "ProgressiveSchedule":
        """Return the stages of the code that the paper's authors released, which is not quite Algorithm 1.

        Sizes are cut to whole pixels, and already the first stage is a step above the smallest size; regularisers are
        as in `linear` (google/automl, efficientnetv2/main.py).
        """
        _check_stages(num_stages)
        sizes = [int(_between(image_size, (index + 1) / num_stages)) for index in range(num_stages)]
        shares = [index / (num_stages - 1) for index in range(num_stages)] if num_stages > 1 else [1.0]
        return cls._of(sizes, shares, regularisers)

    @classmethod
    def preset(cls, name: str, *, variant: str = "paper", num_stages: int = NUM_STAGES) -> "ProgressiveSchedule":
        """Return the published schedule of a network.

        Args:
            name: "s", "m" or "l"; with the variant "code" "b0" to "b3", too, which have no RandAugment and no MixUp
                (the code has AutoAugment there, which is no part of a schedule).
            variant: "paper": Table 6. "code": what was released: other sizes, weaker RandAugment, CutMix beside MixUp,
                and a dropout that stays as the network was built.
            num_stages: Four in both.

        Raises:
            InvalidInputError: If there is no such schedule.
        """
        presets = PRESETS.get(variant)
        if presets is None:
            raise invalid("variant", "known", variant, did_you_mean(variant, PRESETS))
        if name not in presets:
            raise invalid("schedule", "one that was published", name, f"Choose one of {', '.join(presets)}.")
        make = cls.linear if variant == "paper" else cls.released
        regularisers: dict[str, Any] = dict(presets[name])
        return make(regularisers.pop("image_size"), num_stages=num_stages, **regularisers)

    @classmethod
    def scaled(
        cls,
        image_size: int,
        *,
        first_image_size: int | None = None,
        size_multiple: int = 4,
        num_stages: int = NUM_STAGES,
        **regularisers: Range | None,
    ) -> "ProgressiveSchedule":
        """Return the proportions of EfficientNetV2-S's schedule for images of another size.

        Args:
            image_size: Pixels a side of the last stage.
            first_image_size: Of the first; by default 128/300 of the last, rounded to `size_multiple`.
            size_multiple: All sizes but the last are rounded to a multiple of this.
            num_stages: Of equal length.
            regularisers: As in `linear`.
        """
        if first_image_size is None:
            first_image_size = max(8, round(image_size * _FIRST_SHARE / size_multiple) * size_multiple)
        if not 8 <= first_image_size <= image_size:
            rule = f"from 8 to the last stage's {image_size}"
            raise invalid("first_image_size", rule, first_image_size, "Images grow from stage to stage.")
        ranges = (float(first_image_size), float(image_size))
        return cls.linear(ranges, num_stages=num_stages, size_multiple=size_multiple, **regularisers)

    @classmethod
    def fixed(cls, image_size: int, **regularisers: float | None) -> "ProgressiveSchedule":
        """Return a single stage: the usual way."""
        return cls((Stage(image_size, **_known(regularisers)),))

    @classmethod
    def random_resize(
        cls, image_size: tuple[int, int], *, num_stages: int, seed: int, size_multiple: int = 1, **regularisers: Range
    ) -> "ProgressiveSchedule":
        """Return stages of random sizes in a range, both ends included, with regularisers that follow the size.

        The comparison of Table 13, where the size was drawn anew every eight epochs; there, regularisation depends on
        the size in the same way.

        Args:
            image_size: Smallest and largest, pixels a side.
            num_stages: The number of epochs by eight, for the paper's.
            seed: Of the draws.
            size_multiple: What sizes are multiples of.
            regularisers: Fields of `Stage` by name, with their values at the smallest and the largest size.
        """
        _check_stages(num_stages)
        small, large = image_size
        choices = range(-(-small // size_multiple) * size_multiple, large + 1, size_multiple)
        if not choices:
            raise invalid("image_size", f"a range with a multiple of {size_multiple}", image_size, "Widen it.")
        rng = random.Random(seed)
        sizes = [rng.choice(choices) for _ in range(num_stages)]
        spread = max(1, large - small)
        return cls._of(sizes, [(size - small) / spread for size in sizes], regularisers)

    @classmethod
    def _of(cls, sizes: Sequence[int], shares: Sequence[float], ranges: Any) -> "ProgressiveSchedule":
        stages = []
        for size, share in zip(sizes, shares, strict=True):
            values: dict[str, Any] = {name: _between(ends, share) for name, ends in _known(ranges).items()}
            stages.append(Stage(size, 1 / len(sizes), **values))
        return cls(tuple(stages))

    def with_constant_regularisation(self) -> "ProgressiveSchedule":
        """Return the same sizes with the last stage's regularisers all along: what Table 13 compares with."""
        last = {name: getattr(self.stages[-1], name) for name in REGULARISERS}
        return ProgressiveSchedule(tuple(replace(stage, **last) for stage in self.stages))

    def with_batch_sizes(self, batch_size: int, *, largest: int) -> "ProgressiveSchedule":
        """Return the same stages with batches that fill the memory which `batch_size` images of the last stage take.

        Args:
            batch_size: Of the largest images.
            largest: Batches are no larger than this, however small the images are.
        """
        final = max(stage.image_size for stage in self.stages)
        sizes = [int(batch_size * (final / stage.image_size) ** 2) for stage in self.stages]
        pairs = zip(self.stages, sizes, strict=True)
        return ProgressiveSchedule(
            tuple(replace(stage, batch_size=max(batch_size, min(largest, size))) for stage, size in pairs)
        )

    def num_epochs(self, total: int) -> tuple[int, ...]:
        """Return how many of `total` epochs each stage has, whole ones.

        Raises:
            InvalidInputError: If there are fewer epochs than stages.
        """
        if total < len(self.stages):
            raise invalid("epochs", f"at least {len(self.stages)}, one a stage", total, "Or ask for fewer --stages.")
        ends, end = list[int](), 0.0
        for number, stage in enumerate(self.stages, start=1):
            end += stage.share
            # Every stage has an epoch, those that are still to come too.
            latest = total - (len(self.stages) - number)
            ends.append(min(latest, max(round(end * total), (ends[-1] if ends else 0) + 1)))
        return tuple(end - start for start, end in zip([0, *ends], ends, strict=False))

    @property
    def relative_cost(self) -> float:
        """Pixels seen, as a share of those with the largest size all along; lower is cheaper."""
        largest = max(stage.image_size for stage in self.stages)
        return sum(stage.share * (stage.image_size / largest) ** 2 for stage in self.stages)

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)


def _known(regularisers: Any) -> dict[str, Any]:
    for name in regularisers:
        if name not in REGULARISERS:
            raise invalid("regulariser", "known", name, did_you_mean(name, REGULARISERS))
    return {name: value for name, value in regularisers.items() if value is not None}


def _check_stages(num_stages: int) -> None:
    if num_stages < 1:
        raise invalid("num_stages", "at least 1", num_stages, "Four is usual.")


def _between(ends: Range, share: float) -> float:
    """Return the value at a share of the way; exact at both ends."""
    first, last = ends
    return last if share == 1 else first + (last - first) * share


_OFF: Range = (0.0, 0.0)
PRESETS: dict[str, dict[str, dict[str, Range]]] = {
    "paper": {
        "s": {"image_size": (128, 300), "randaugment_magnitude": (5, 15), "mixup_alpha": _OFF, "dropout": (0.1, 0.3)},
        "m": {
            "image_size": (128, 380),
            "randaugment_magnitude": (5, 20),
            "mixup_alpha": (0, 0.2),
            "dropout": (0.1, 0.4),
        },
        "l": {
            "image_size": (128, 380),
            "randaugment_magnitude": (5, 25),
            "mixup_alpha": (0, 0.5),
            "dropout": (0.1, 0.5),
        },
    },
    "code": {
        "s": {"image_size": (128, 300), "randaugment_magnitude": (5, 10)},
        **{
            name: {
                "image_size": (128, 384),
                "randaugment_magnitude": (5, magnitude),
                "mixup_alpha": (0, alpha),
                "cutmix_alpha": (0, alpha),
            }
            for name, magnitude, alpha in (("m", 15.0, 0.2), ("l", 20.0, 0.5))
        },
        **{f"b{index}": {"image_size": (128, size)} for index, size in enumerate((192.0, 192.0, 208.0, 240.0))},
    },
}
"""Facts of both variants: Table 6; efficientnetv2/effnetv2_configs.py and main.py of google/automl."""
