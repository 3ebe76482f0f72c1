"""Which networks to time so that together they tell what each kind of layer costs. No torch."""

from collections import Counter

import numpy as np

from nas.errors import invalid
from nas.space import Params, SearchSpace
from nas.spec import ArchSpec

_NUM_DRAWS = 8
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
    if len(found) < number:
        raise invalid("networks", f"at most what space {space.name} has ({len(found)} found)", number, "Ask for fewer.")
    return list(found.values())[:number]
