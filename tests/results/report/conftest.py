"""Runs whose measurements follow from a formula, made in milliseconds, and the real one of 200 candidates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from nas.optimization import trials
from nas.optimization.objectives import PARETO
from nas.results import Manifest, RunFolder, load
from tests.synthetic import measure, small_space

REAL_RUN = Path(__file__).parents[3] / "results" / "fashion_hard_200"


def make_run(path, num_measured, *, num_failed=0, reason="out of memory", origin="sampler", manifest=None, **measured):
    """Make a run of networks drawn at random; `measured` replaces fields of their measurements."""
    folder = RunFolder.create(path)
    known = {
        **{"data": "formula", "data_fingerprint": "0123", "num_classes": 10, "in_channels": 3, "seed": 0},
        **{"objective": "pareto", "fidelity": "2000x1", "settings": {"budget": 25}, "device": "cpu"},
    }
    folder.write_manifest(Manifest.collect(small_space(), **(known | (manifest or {}))))
    add_candidates(folder, num_measured, num_failed=num_failed, reason=reason, origin=origin, **measured)
    return folder


def add_candidates(folder, num_measured, *, num_failed=0, reason="out of memory", origin="sampler", **measured):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, random = small_space(), np.random.default_rng(0)
    with folder.lock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # the disk's speed is not what is tested
        study = folder.study(PARETO)
        study.sampler = optuna.samplers.RandomSampler(seed=len(study.get_trials(deepcopy=False)))
        for number in range(num_measured + num_failed):
            trial = study.ask()
            spec = space.suggest(trial)
            trials.describe(trial, spec)
            trial.set_user_attr(trials.ORIGIN, origin if number == 0 else "sampler")
            if number >= num_measured:
                trials.tell_failed(study, trial, reason)
                continue
            found = measure(spec, space.reference)
            noisy = replace(found, accuracy=found.accuracy + random.normal(0, 0.01), **measured)
            trials.tell_measured(study, trial, noisy, PARETO)


@pytest.fixture(scope="session")
def real_run():
    return load(REAL_RUN)


@pytest.fixture(scope="session")
def synthetic_run(tmp_path_factory):
    """Forty measured candidates and three failed ones, with all that the newest journals hold."""
    newest = {"relative_step_time_low": 0.9, "relative_step_time_high": 1.1, "exclusive": True}
    newest |= {"paused_s": 0.25, "lease_wait_s": 0.125}
    path = tmp_path_factory.mktemp("runs") / "run"
    return load(make_run(path, 40, num_failed=3, origin="published", **newest).path)
