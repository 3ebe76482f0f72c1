"""Scale a network to a target: the largest on the rule's line that fits, then single steps towards the limit.

"At most" is meant: what is returned never costs more than the target, and comes as near to it from below as steps of a
layer or of eight channels allow. Stages of the result have at least the layers and channels of the given network; the
image size, which a cost may depend on, stays.
"""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from nas.errors import invalid
from nas.models.scaling.coefficients import MAX_STEP
from nas.models.scaling.rule import scale_by_step
from nas.models.scaling.target import Cost, ScalingTarget
from nas.spec import MAX_CHANNELS, MAX_LAYERS, ArchSpec, StageSpec

_NEAR = 0.01
"""How far below the limit is near enough to stop looking, as a fraction."""

_FAR = 0.9
"""Share of a measured limit below which a network is too far from it to get there by changes of single stages."""

_STEP_ACCURACY = 1e-3
_MAX_EXCHANGES = 10


@dataclass(frozen=True, slots=True)
class Scaled:
    """Attributes:
    spec: The network.
    achieved: What it costs, at most `target`.
    target: The limit that was asked for.
    num_evaluations: Networks whose cost was asked for, the given one among them; of `scale_to_measured`, measured.
    """

    spec: ArchSpec
    achieved: float
    target: float
    num_evaluations: int

    @property
    def relative_error(self) -> float:
        """How far the cost lies below the target, as a fraction of it: -0.02 is 2% below. Never above 0."""
        return self.achieved / self.target - 1


def scale_to(spec: ArchSpec, target: ScalingTarget, *, cost: Cost) -> Scaled:
    """Scale `spec` as far as a target allows.

    The compound coefficient (`nas.models.scaling.coefficients`), which moves width and depth together and deepens later
    stages, is the largest whose rounded network fits. From there and from the next larger network single stages are
    changed by a layer or by 8 channels, later stages first, and then exchanged for one another, until the cost is
    within 1% of the limit or no change brings it nearer.

    Args:
        spec: The network to start from, usually S.
        target: The most it may cost.
        cost: A network -> what the target limits, in its unit; it should not shrink as layers or channels grow. Asked
            for some tens to some hundreds of networks, so it should be quick.

    Raises:
        InvalidInputError: If `spec` costs more than the target already, or no network within the limits of a spec
            costs as much.
    """
    search = _Search(spec, cost, target.limit)
    _check_start(target, search.cost(spec))
    found = search.solve(target.quantity)
    return Scaled(_named(found, target), search.cost(found), target.limit, len(search.costs))


def _check_start(target: ScalingTarget, start: float) -> None:
    if start > target.limit:
        todo = "The network to scale costs more already: give a larger target or a smaller network."
        raise invalid(target.quantity, f"at least {start:,.10g}", target.limit, todo)


class _Search:
    """Costs of networks by comparison with a limit, each asked for once; those `excluded` never fit."""

    def __init__(self, start: ArchSpec, cost: Cost, limit: float, excluded: Collection[ArchSpec] = frozenset()) -> None:
        self.start, self.limit, self.excluded = start, limit, excluded
        self.costs: dict[ArchSpec, float] = {}
        self._cost = cost

    def cost(self, spec: ArchSpec) -> float:
        if spec not in self.costs:
            self.costs[spec] = float(self._cost(spec))
        return self.costs[spec]

    def fits(self, spec: ArchSpec) -> bool:
        return self.cost(spec) <= self.limit and spec not in self.excluded

    def is_near(self, spec: ArchSpec) -> bool:
        return (1 - _NEAR) * self.limit <= self.cost(spec) <= self.limit

    def solve(self, quantity: str) -> ArchSpec:
        """Return the network nearest to the limit from below; raise InvalidInputError where none reaches it."""
        below, above = self.bracket()
        if above is None:
            todo = "No network of this kind within the limits of layers and channels costs more."
            raise invalid(quantity, f"at most {self.cost(below):,.10g}", self.limit, todo)
        if self.cost(below) == self.cost(self.start):
            below = self.start  # The line grows dropout before it grows anything that costs.
        found = self.climb(below)
        if self.is_near(found):
            return found
        descended = self.climb(self.descend(above))
        return self.exchange(max(found, descended, key=self.cost))

    def bracket(self) -> tuple[ArchSpec, ArchSpec | None]:
        """Return neighbours on the rule's line, the larger beyond the limit; None where none is."""
        low, high = 0.0, 1.0
        while self.fits(scale_by_step(self.start, high)):
            if high == MAX_STEP:
                return scale_by_step(self.start, high), None
            low, high = high, min(2 * high, MAX_STEP)
        while high - low > _STEP_ACCURACY:
            middle = (low + high) / 2
            if self.fits(scale_by_step(self.start, middle)):
                low = middle
            else:
                high = middle
        return scale_by_step(self.start, low), scale_by_step(self.start, high)

    def climb(self, spec: ArchSpec) -> ArchSpec:
        """Enlarge single stages while that fits: by the first change that comes near the limit, else the largest."""
        while not self.is_near(spec):
            fitting = [larger for larger in _larger(spec) if self.fits(larger)]
            found = self._nearest(fitting)
            if found is None or self.cost(found) <= self.cost(spec):
                return spec
            spec = found
        return spec

    def descend(self, spec: ArchSpec) -> ArchSpec:
        """Shrink single stages, by the smallest change each time, until the network fits."""
        while not self.fits(spec):
            smaller = list(_smaller(spec, self.start))
            if not smaller:
                return self.start
            spec = self._nearest([each for each in smaller if self.fits(each)]) or max(smaller, key=self.cost)
        return spec

    def exchange(self, spec: ArchSpec) -> ArchSpec:
        """Enlarge one stage and shrink another while that comes nearer to the limit."""
        for _ in range(_MAX_EXCHANGES):
            if self.is_near(spec):
                break
            pairs = [both for larger in _larger(spec) for both in _smaller(larger, self.start) if self.fits(both)]
            found = self._nearest(pairs)
            if found is None or self.cost(found) <= self.cost(spec):
                break
            spec = self.climb(found)
        return spec

    def _nearest(self, fitting: list[ArchSpec]) -> ArchSpec | None:
        near = next((spec for spec in fitting if self.is_near(spec)), None)
        return near or max(fitting, key=self.cost, default=None)


def _larger(spec: ArchSpec) -> Iterator[ArchSpec]:
    """Yield networks with one stage larger by a layer or by up to 8 channels; later stages first."""
    for index, stage in _later_first(spec):
        if stage.num_layers < MAX_LAYERS:
            yield _with(spec, index, replace(stage, num_layers=stage.num_layers + 1))
        if stage.out_channels < MAX_CHANNELS:
            yield _with(spec, index, replace(stage, out_channels=(stage.out_channels // 8 + 1) * 8))


def _smaller(spec: ArchSpec, floor: ArchSpec) -> Iterator[ArchSpec]:
    """Yield networks with one stage smaller by a layer or by up to 8 channels, but not below `floor`."""
    for index, stage in _later_first(spec):
        least = floor.stages[min(index, len(floor.stages) - 1)]
        least_layers = least.num_layers if index < len(floor.stages) else 1
        if stage.num_layers > least_layers:
            yield _with(spec, index, replace(stage, num_layers=stage.num_layers - 1))
        if stage.out_channels > least.out_channels:
            channels = max((math.ceil(stage.out_channels / 8) - 1) * 8, least.out_channels)
            yield _with(spec, index, replace(stage, out_channels=channels))


def _later_first(spec: ArchSpec) -> list[tuple[int, StageSpec]]:
    return list(enumerate(spec.stages))[::-1]


def _with(spec: ArchSpec, index: int, stage: StageSpec) -> ArchSpec:
    return replace(spec, stages=(*spec.stages[:index], stage, *spec.stages[index + 1 :]))


def _named(spec: ArchSpec, target: ScalingTarget) -> ArchSpec:
    return replace(spec, name=f"{target.quantity} at most {target.limit:g}")


def scale_to_measured(
    spec: ArchSpec,
    target: ScalingTarget,
    *,
    measure: Cost,
    surrogate: Cost,
    tolerance: float = 0.03,
    max_measurements: int = 6,
    on_measured: Callable[[ArchSpec, float], None] | None = None,
) -> Scaled:
    """Scale `spec` to a target whose cost is slow to measure, such as step time.

    `scale_to` solves for a quick stand-in; the result is measured, the stand-in's limit corrected by the ratio of what
    was wanted to what was found, and so on. Once a network is within 10%, or one was below the target and one above,
    only single stages of the nearest below are changed: the stand-in need not be right about all of it then. What is
    wanted is the middle of the band of `tolerance` below the target, so that noise does not decide.

    Args:
        spec: The network to start from.
        target: The most it may cost by `measure`.
        measure: A network -> the target's quantity, measured.
        surrogate: A network -> any number that grows about in proportion to that.
        tolerance: How far below the target a measurement may lie for the search to end, as a fraction.
        max_measurements: The search ends after so many networks beside `spec`.
        on_measured: Called with each measured network and its cost.

    Returns:
        The measured network that is nearest to the target from below, `spec` itself where no other fitted. A
        measurement has noise: measured again, the network may lie above the target by as much.

    Raises:
        InvalidInputError: As `scale_to`.
    """
    if max_measurements < 1:
        raise invalid("max_measurements", "at least 1", max_measurements, "Raise it.")
    # Relative to itself the network takes 1; anything else is measured.
    achieved = 1.0 if target.quantity == "relative_step_time" else measure(spec)
    _check_start(target, achieved)
    wanted = aim = (1 - tolerance / 2) * target.limit
    best, ratio, measured, exceeded = spec, achieved / surrogate(spec), {spec}, False
    while len(measured) <= max_measurements and achieved < (1 - tolerance) * target.limit:
        is_local = achieved >= _FAR * target.limit or (exceeded and best is not spec)
        if is_local:
            ratio = achieved / surrogate(best)
        search = _Search(spec, _times(ratio, surrogate), aim, excluded=measured)
        found = search.exchange(search.climb(best)) if is_local else search.solve(target.quantity)
        if found in measured:
            break
        measured.add(found)
        value = measure(found)
        if on_measured is not None:
            on_measured(found, value)
        ratio, exceeded = value / surrogate(found), exceeded or value > target.limit
        if achieved < value <= target.limit:
            best, achieved, aim = found, value, wanted
        elif is_local and value > wanted:
            # The stand-in makes too little of such changes: look for ones it makes less of.
            aim = achieved + (aim - achieved) * (wanted - achieved) / (value - achieved)
    return Scaled(_named(best, target), achieved, target.limit, len(measured))


def _times(ratio: float, surrogate: Cost) -> Cost:
    return lambda spec: ratio * surrogate(spec)
