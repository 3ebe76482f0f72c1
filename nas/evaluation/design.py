"""Which networks to time so that together they tell what each kind of layer costs. No torch."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from nas.space import SearchSpace
from nas.spec import ArchSpec

_NUM_DRAWS = 64


def balanced_networks(space: SearchSpace, seed: int = 0) -> Iterator[ArchSpec]:
    """Yield networks of a space, inside its bounds, such that every value of every choice comes about as often.

    The references come first. After them, each network is the one of 64 random ones whose values had been seen the
    least, so that block types, kernels, widths, depths and resolutions are covered after a few networks.
    """
    rng = np.random.default_rng(seed)
    seen: Counter[tuple[str, str | int]] = Counter()
    chosen: set[str] = set()
    while True:
        waiting = [p for p in space.references.values() if space.decode(p).arch_id not in chosen]
        draws = waiting[:1] or [space.sample(rng) for _ in range(_NUM_DRAWS)]
        params = max(draws, key=lambda drawn: sum(1 / (1 + seen[item]) for item in drawn.items()))
        seen.update(params.items())
        spec = space.decode(params)
        if spec.arch_id not in chosen:
            chosen.add(spec.arch_id)
            yield spec
