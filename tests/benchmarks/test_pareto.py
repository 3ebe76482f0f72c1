"""How long do the front and its volume take on 100,000 candidates with three objectives?

Points are drawn from a cube, of which under a hundred are on the front, and from a sphere, of which all are.

    pytest -m benchmark tests/benchmarks/test_pareto.py -s

One thread; a few seconds.
"""

import time

import numpy as np
import pandas as pd
import pytest

from nas.results import PARETO_OBJECTIVES, hypervolume, knee, pareto_front, within

pytestmark = pytest.mark.benchmark

NUM_ROWS = 100_000
REFERENCE_POINT = {"accuracy": 0.0, "relative_step_time": 1.0, "num_params": 1.0}


def cube(rng):
    return rng.random((NUM_ROWS, 3))


def sphere(rng):
    points = np.abs(rng.normal(size=(NUM_ROWS, 3)))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize(("draw", "max_front_s", "max_volume_s"), [(cube, 2, 2), (sphere, 2, 4)])
def test_a_hundred_thousand_rows(draw, max_front_s, max_volume_s):
    points = draw(np.random.default_rng(0))
    points[:, 1:] = 1 - points[:, 1:]  # the last two are to minimise
    frame = pd.DataFrame(points, columns=list(PARETO_OBJECTIVES))
    start = time.perf_counter()
    front = pareto_front(frame, PARETO_OBJECTIVES)
    front_s = time.perf_counter() - start
    volume = hypervolume(frame, PARETO_OBJECTIVES, REFERENCE_POINT)
    volume_s = time.perf_counter() - start - front_s
    print(f"\n{draw.__name__}: {len(front)} on the front in {front_s:.2f} s, volume {volume:.6f} in {volume_s:.2f} s")
    knee(frame, PARETO_OBJECTIVES)
    assert len(within(frame, relative_step_time=0.5)) < NUM_ROWS
    assert 0 < volume < 1
    assert front_s < max_front_s
    assert volume_s < max_volume_s
