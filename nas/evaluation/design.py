"""Which networks to measure where not all can be: a choice that covers a space. No torch."""

from collections import Counter

import numpy as np

from nas.complexity import complexity
from nas.errors import invalid
from nas.space import Params, SearchSpace
from nas.spec import ArchSpec

_NUM_DRAWS = 8
_DRAWS_A_LAYER = 40
_MAX_STALLS = 50


def balanced_networks(space: SearchSpace, number: int, seed: int = 0) -> list[ArchSpec]:
    """Return different networks of a space, inside its bounds, in which every value of every choice is about as common.

    The references come first. Each further network is, of some random ones, the one whose values have been seen the
    least, so that block types, kernels, widths, depths and resolutions are covered after a few networks already.

    Raises:
        InvalidInputError: If the space has too few networks.
    """
    rng = np.random.default_rng(seed)
    seen: Counter[tuple[str, str | int]] = Counter()
    found: dict[str, ArchSpec] = {}

    def take(params: Params) -> None:
        seen.update(params.items())
        spec = space.decode(params)
        found.setdefault(spec.arch_id, spec)

    def rarity(params: Params) -> float:
        return sum(1 / (1 + seen[item]) for item in params.items())

    for params in space.references.values():
        take(params)
    stalls = 0
    while len(found) < number and stalls < _MAX_STALLS:
        before = len(found)
        take(max((space.sample(rng) for _ in range(_NUM_DRAWS)), key=rarity))
        stalls = stalls + 1 if len(found) == before else 0
    _check_enough(space, len(found), number)
    return list(found.values())[:number]


def random_networks(space: SearchSpace, number: int, seed: int = 0) -> list[ArchSpec]:
    """Return different random networks of a space, inside its bounds, as unlike in cost as its networks are.

    Many more are drawn, put in the order of their multiply-adds and cut into `number` equal layers, of each of which
    one is taken. So costs are distributed as among random networks, only more evenly than chance would have it: a
    choice with more of the extremes would be easier to rank than what a search meets.

    Raises:
        InvalidInputError: If the space has too few networks.
    """
    rng = np.random.default_rng(seed)
    drawn = (space.decode(space.sample(rng)) for _ in range(_DRAWS_A_LAYER * number))
    found = {spec.arch_id: spec for spec in drawn}
    _check_enough(space, len(found), number)
    by_cost = sorted(
        found.values(), key=lambda spec: (complexity(spec, num_classes=10, in_channels=3).num_macs, spec.arch_id)
    )
    layers = np.array_split(np.arange(len(by_cost)), number)
    return [by_cost[int(rng.choice(layer))] for layer in layers]


def _check_enough(space: SearchSpace, found: int, number: int) -> None:
    if found < number:
        raise invalid("networks", f"at most what space {space.name} has ({found} found)", number, "Ask for fewer.")
