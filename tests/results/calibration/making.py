"""Calibrations whose trainings follow from a formula."""

import json
from dataclasses import asdict
from functools import cache

import numpy as np

from nas.evaluation.design import random_networks
from nas.results.calibration.evaluations import Evaluation
from nas.results.calibration.folder import CalibrationFolder
from nas.results.calibration.manifest import CalibrationManifest
from tests.synthetic import small_space

LONG = "30000x12"
LEVELS = {"2500x1": (0.05, 2.0), "5000x2": (0.01, 20.0)}
"""By fidelity the noise, and the cost in processor seconds."""


def describe_calibration(**changes):
    known = {
        **{"data": "formula", "data_fingerprint": "0123", "num_classes": 10, "in_channels": 3},
        **{"num_train_images": 40_000, "num_val_images": 10_000, "long": LONG, "device": "cpu"},
        "settings": {"networks": 20, "seed": 0, "val_images": None, "fidelities": list(LEVELS)},
    }
    return CalibrationManifest.collect(small_space(), **(known | changes))


def evaluate(network, spec, role, fidelity, seed, accuracy, cost_s):
    """A training that ended, or failed where there is no accuracy."""
    failed = accuracy is None
    return Evaluation(
        network=network,
        arch_id=spec.arch_id,
        arch=spec.to_dict(),
        role=role,
        fidelity=fidelity,
        seed=seed,
        accuracy=accuracy,
        val_loss=None if failed else 2 - accuracy,
        num_val_images=None if failed else 10_000,
        train_cpu_s=None if failed else cost_s,
        wall_s=None if failed else 3 * cost_s,
        fail_reason="diverged" if failed else None,
    )


@cache
def networks():
    return random_networks(small_space(), 20)


def make_evaluations(*, num_networks=20, levels=LEVELS, long_noise=0.005, long_seeds=2, spread=0.03):
    """Trainings in the order in which a calibration does them; seeds shift all accuracies."""
    rng, specs = np.random.default_rng(0), networks()
    truth = 0.6 + spread * rng.normal(size=num_networks)
    trainings = [("proxy", fidelity, seed, *level) for fidelity, level in levels.items() for seed in (0, 1)]
    trainings += [("long", LONG, seed, long_noise, 400.0) for seed in range(long_seeds)]
    return [
        evaluate(n, specs[n], role, fidelity, seed, float(truth[n] + noise * rng.normal() + 0.02 * seed), cost_s)
        for role, fidelity, seed, noise, cost_s in trainings
        for n in range(num_networks)
    ]


def write_evaluations(path, evaluations, manifest=None):
    folder = CalibrationFolder.unused(path)
    folder.make()
    folder.write_manifest(manifest or describe_calibration())
    folder.evaluations_path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in evaluations))
    return folder
