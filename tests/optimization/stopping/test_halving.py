from dataclasses import replace

import numpy as np

from nas.optimization.stopping.halving import ETA, HalvingStopping, rung_reward
from tests.optimization.stopping.making import SHARES, at_rung, candidates, stopped


def run(found, eta=ETA):
    """Halve a list of candidates one after the other; return how many passed each rung."""
    known, passed = [], [0] * len(SHARES)
    for new in found:
        rule = HalvingStopping(SHARES, eta).rule(known)
        for index in range(len(SHARES)):
            if rule.stops(at_rung(new, index)):
                known.append(stopped(new, index))
                break
            passed[index] += 1
        else:
            known.append(new)
    return passed


def test_about_one_of_eta_goes_on_at_each_rung():
    for eta in (2, 3):
        passed = np.mean([run(candidates(200, seed=seed), eta) for seed in range(3)], axis=0)
        shares = np.array([passed[0] / 200, passed[1] / passed[0], passed[2] / passed[1]])
        assert (shares > 0.8 / eta).all()
        assert shares[0] < 1.2 / eta


def test_the_best_of_those_that_came_to_a_rung_goes_on():
    found = candidates(8)
    rewards = sorted(rung_reward(m, 0) for m in found)
    rule = HalvingStopping(SHARES).rule([stopped(m, 0) for m in found])
    # With the new one there are nine, of which three go on.
    assert rule.cutoffs == (rewards[-3], None, None)
    for measurement in found:
        assert rule.stops(at_rung(measurement, 0)) is (rung_reward(measurement, 0) < rewards[-3])


def test_costs_count():
    found = candidates(30)
    rule = HalvingStopping(SHARES).rule(found)
    middling = sorted(found, key=lambda m: rung_reward(m, 0))[15]
    assert rule.stops(at_rung(middling, 0))
    assert not rule.stops(at_rung(replace(middling, relative_step_time=1e-4, relative_params=1e-4), 0))
