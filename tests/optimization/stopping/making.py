"""Measurements with rungs, made up: accuracy at a rung says the more of the final one, the later the rung."""

from dataclasses import replace

import numpy as np

from nas.evaluation.measurement import Rung
from tests.synthetic import measure, small_space

SHARES = (0.125, 0.25, 0.5)
SPACE = small_space()


def rung(share, accuracy):
    return Rung(
        share=share,
        images_seen=round(4000 * share),
        accuracy=accuracy,
        val_loss=2.3 - accuracy,
        num_val_images=1000,
        train_loss=2.4 - accuracy,
        train_s=share,
        rung_s=0.02,
    )


def candidate(rng, *, noise=0.05):
    """A random network with its costs, an accuracy of 30 to 60% drawn at random, and rungs."""
    accuracy = float(rng.uniform(0.3, 0.6))
    measurement = measure(SPACE.decode(SPACE.sample(rng)), SPACE.reference)
    rungs = tuple(rung(share, share * accuracy + float(rng.normal(0, noise * (1 - share)))) for share in SHARES)
    return replace(measurement, accuracy=accuracy, rungs=rungs)


def candidates(number, *, seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    return [candidate(rng, noise=noise) for _ in range(number)]


def at_rung(measurement, index, **changes):
    """What is known of a candidate when it comes to a rung."""
    return replace(measurement, accuracy=float("nan"), rungs=measurement.rungs[: index + 1], **changes)


def stopped(measurement, index):
    return at_rung(measurement, index, stopped=True)
