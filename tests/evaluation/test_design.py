from collections import Counter

import numpy as np
import pytest

from nas import InvalidInputError
from nas.complexity import complexity
from nas.evaluation.design import balanced_networks, random_networks
from search_spaces.efficientnet_v2_tiny import space
from tests.execution.support import AliasedSpace


def test_they_are_different_inside_the_bounds_and_begin_with_the_references():
    specs = balanced_networks(space, 30)
    assert len({spec.arch_id for spec in specs}) == 30
    assert all(space.excess(spec) <= 0 for spec in specs)
    assert specs[:3] == [space.decode(params) for params in space.references.values()]
    assert specs == balanced_networks(space, 30)
    assert specs[:12] == balanced_networks(space, 12)
    assert specs != balanced_networks(space, 30, seed=1)


def test_every_value_of_every_choice_is_there():
    seen = Counter(item for spec in balanced_networks(space, 40) for item in space.encode(spec).items())
    for key, values in space.choices.items():
        assert min(seen[key, value] for value in values) >= 4, key


def test_a_space_with_too_few_networks_is_refused():
    assert len(balanced_networks(AliasedSpace(), 3)) == 3
    with pytest.raises(InvalidInputError, match=r"at most what space aliased has \(3 found\), got 4"):
        balanced_networks(AliasedSpace(), 4)
    assert len(random_networks(AliasedSpace(), 3)) == 3
    with pytest.raises(InvalidInputError, match=r"at most what space aliased has \(3 found\), got 4"):
        random_networks(AliasedSpace(), 4)


def test_random_networks_differ_in_cost_as_the_spaces_do():
    """Each is from another tenth of the networks of the space, by their multiply-adds."""
    specs = random_networks(space, 10)
    assert specs == random_networks(space, 10)
    assert specs != random_networks(space, 10, seed=1)
    assert all(space.excess(spec) <= 0 for spec in specs)
    others = sorted(num_macs(space.decode(space.sample(seed))) for seed in range(200))
    ranks = [np.searchsorted(others, num_macs(spec)) / 200 for spec in specs]
    assert ranks == sorted(ranks)
    assert all(abs(rank - (place + 0.5) / 10) < 0.15 for place, rank in enumerate(ranks))


def num_macs(spec):
    return complexity(spec, num_classes=10, in_channels=3).num_macs
