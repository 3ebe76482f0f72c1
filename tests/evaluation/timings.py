"""Networks with step times that follow from what their layers cost, and noise."""

import numpy as np

from nas.evaluation.step_features import FEATURES, StepShape, step_features
from search_spaces.efficientnet_v2_tiny import space

SHAPE = StepShape(batch_size=64, num_classes=10, in_channels=3)
COSTS = {
    "fixed": 2e-3,
    "num_norm_convs": 1e-3,
    "spatial_macs": 3e-11,
    "depthwise_macs": 4e-10,
    "normalised_values": 4e-9,
}


def networks(number, first_seed=0):
    return [space.decode(space.sample(first_seed + seed)) for seed in range(number)]


def seconds(spec, shape=SHAPE):
    """Return what a step takes on a machine where some kinds of layers cost something and others nothing."""
    costs = np.array([COSTS.get(name, 0.0) for name in FEATURES])
    return float(step_features(spec, shape) @ costs)


def noisy_seconds(specs, noise, seed=0):
    rng = np.random.default_rng(seed)
    return [seconds(spec) * float(np.exp(noise * rng.standard_normal())) for spec in specs]
