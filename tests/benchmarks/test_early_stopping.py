"""What does early stopping lose, and what does it save?

Whole trainings are replayed with two workers through the rules that a search uses. results/early_stopping has a log of
random networks with rungs; it is replayed in five random orders. The 200 candidates of results/fashion_hard_200 have
none; they get rungs that say as much of their accuracies as the log's do. They are replayed in five random orders, and
in the order of the sampler, each time with other rungs.

    pytest -m benchmark tests/benchmarks/test_early_stopping.py -s

Two minutes of processor time.
"""

import random
from pathlib import Path

import numpy as np
import pytest

import nas.results
from nas.optimization.objectives import PARETO, REWARD, measurement_reward
from nas.optimization.stopping import DOMINATED_RUNGS, HALVING_RUNGS, make_stopping, parse_rungs
from nas.optimization.stopping.dominated import DominatedStopping
from nas.optimization.stopping.halving import HalvingStopping
from tests.benchmarks.replay import TRAINING_SHARE, front_volume, plain_train_s, read_log, replay, simulate_rungs
from tests.execution.support import measurements

pytestmark = pytest.mark.benchmark

RESULTS = Path(__file__).parents[2] / "results"
NUM_SEEDS = 5
DEFAULT, THREE = parse_rungs(DOMINATED_RUNGS), parse_rungs(HALVING_RUNGS)
LATE = DEFAULT[1:]
SEVEN = tuple(sixteenth / 16 for sixteenth in range(2, 9))
NINE = (*SEVEN, 0.625, 0.75)


@pytest.fixture(scope="module")
def log():
    return read_log(RESULTS / "early_stopping")


@pytest.fixture(scope="module")
def logged(log):
    """Return the log's candidates with their own rungs, in another random order a seed."""
    return [random.Random(seed).sample(log, len(log)) for seed in range(NUM_SEEDS)]


@pytest.fixture(scope="module")
def searched(log):
    """Return the candidates of a search by a sampler, as it met them, once a seed."""
    found = measurements(nas.results.RunFolder.open(RESULTS / "fashion_hard_200").read_study())
    return [simulate_rungs(log, found, seed) for seed in range(NUM_SEEDS)]


@pytest.fixture(scope="module")
def shuffled(searched):
    return [random.Random(seed).sample(order, len(order)) for seed, order in enumerate(searched)]


def replay_all(orders, stopping):
    """Return a row an order: hypervolume and best reward as shares of those without stopping, cost, finished."""
    rows = []
    for order in orders:
        done = replay(order, stopping)
        rewards = [max(map(measurement_reward, found)) for found in (done.finished, order)]
        volume = front_volume(done.finished, order) / front_volume(order, order)
        cost = done.train_s / sum(map(plain_train_s, order))
        rows.append((volume, rewards[0] / rewards[1], cost, len(done.finished)))
    return np.array(rows)


def show(name, rows):
    volume, reward, cost, finished = rows.mean(axis=0)
    worst = rows.min(axis=0)
    print(
        f"| {name} | {volume:.2%} | {worst[0]:.2%} | {reward:.2%} | {worst[1]:.2%} | {cost:.1%} | {finished:.0f} |",
        flush=True,
    )


@pytest.mark.parametrize("order", ["logged", "shuffled", "searched"])
def test_frontier_of_loss_and_cost(order, request):
    orders = request.getfixturevalue(order)
    print(f"\n{order}: {len(orders[0])} candidates")
    print("| rule | volume | worst | best reward | worst | cost | finished |\n|---|---:|---:|---:|---:|---:|---:|")
    variants = [(DEFAULT, care) for care in (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)]
    variants += [(THREE, 1.0), (LATE, 1.0), (SEVEN, 1.0), (NINE, 1.0)]
    for rungs, care in variants:
        name = f"dominated, {care} standard errors, rungs {', '.join(map(str, rungs))}"
        show(name, replay_all(orders, DominatedStopping(rungs, PARETO, care)))
    for every in (10**6, 8, 2):
        name = f"dominated, 1.0 standard errors, {'nobody' if every > 1000 else f'one in {every}'} spared"
        show(name, replay_all(orders, DominatedStopping(DEFAULT, PARETO, 1.0, spare_every=every)))
    for care in (0.0, 1.0, 2.0):
        show(f"dominated, reward, {care} standard errors", replay_all(orders, DominatedStopping(DEFAULT, REWARD, care)))
    for eta in (2, 3, 4):
        show(f"halving, eta {eta}", replay_all(orders, HalvingStopping(THREE, eta)))


@pytest.mark.parametrize("order", ["logged", "shuffled"])
def test_the_default_loses_little_and_saves_much(order, request):
    rows = replay_all(request.getfixturevalue(order), make_stopping("dominated", objective=PARETO))
    assert rows[:, 0].mean() >= 0.99
    assert rows[:, 0].min() >= 0.98
    assert rows[:, 2].mean() <= 0.40


@pytest.mark.parametrize("order", ["logged", "shuffled"])
def test_the_default_finds_the_best_reward_for_less(order, request):
    rows = replay_all(request.getfixturevalue(order), make_stopping("dominated", objective=REWARD))
    assert rows[:, 1].mean() >= 0.99
    assert rows[:, 2].mean() <= 0.32


def test_what_rungs_say(log):
    """Errors of predictions of candidates that were left out of the fit, in points of accuracy."""
    finals = np.array([m.accuracy for m in log])
    print(f"\n{len(log)} candidates, standard deviation {finals.std(ddof=1) * 100:.1f} points")
    for index, rung in enumerate(log[0].rungs):
        errors = []
        for signal in ("accuracy", "val_loss", "train_loss"):
            if getattr(rung, signal) is None:
                errors.append("-")
                continue
            inputs = np.array([(1.0, getattr(m.rungs[index], signal)) for m in log])
            hat = inputs @ np.linalg.pinv(inputs)
            left_out = (finals - hat @ finals) / (1 - np.diag(hat))
            errors.append(f"{np.sqrt((left_out**2).mean()) * 100:.1f}")
        print(f"| {rung.share:.4f} | {' | '.join(errors)} |")
    looks = [(rung, plain_train_s(m)) for m in log for rung in m.rungs if rung.accuracy is not None]
    looking = np.median([rung.rung_s / whole_s for rung, whole_s in looks])
    training = np.median([rung.train_s / rung.share / whole_s for rung, whole_s in looks])
    print(f"of a training and its validation, steps take {training:.1%} and a validation at a rung {looking:.1%}")
    assert training == pytest.approx(TRAINING_SHARE, abs=0.03)
    assert 0 < looking < 0.1 / len(THREE)
