"""Do the networks of the tiny space differ on the default task by more than the noise of measuring them?

Random networks are trained by the default proxy with several seeds; a seed changes initialisation, data order and the
split into training and validation images, so that the noise holds validation sampling too.

    pytest -m benchmark tests/benchmarks/test_spread.py -s

writes results/fashion_hard/spread.csv and prints the summary that results/fashion_hard/README.md quotes. Two
processes of one thread each; about 12 minutes on 2 cores.
"""

import itertools
import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.config import DEFAULT_FIDELITY
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.proxy_factory import PROXY_RECIPE
from nas.evaluation.training_job import TrainingJob
from nas.evaluation.trainings import TrainingFactory
from nas.results.ranking import components, seed_tau
from search_spaces.efficientnet_v2_tiny import space

pytestmark = pytest.mark.benchmark

NUM_NETWORKS = 24
SEEDS = (0, 1, 2)
OUT = Path(__file__).parents[2] / "results" / "fashion_hard"


def train(job: tuple[int, int]) -> dict[str, object]:
    network, seed = job
    spec = space.decode(space.sample(1000 + network))
    evaluate = TrainingFactory("fashion-hard", image_size=None, val_images=None, data_seed=seed, device="cpu")()
    found = evaluate(TrainingJob(network, spec, Fidelity.parse(DEFAULT_FIDELITY), seed, recipe=PROXY_RECIPE))
    return {
        "network": network,
        "seed": seed,
        "arch_id": spec.arch_id,
        "accuracy": found.accuracy,
        "val_loss": found.val_loss,
    }


def test_networks_differ_by_at_least_twice_the_noise():
    jobs = list(itertools.product(range(NUM_NETWORKS), SEEDS))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        frame = pd.DataFrame(pool.map(train, jobs, chunksize=1))
    OUT.mkdir(parents=True, exist_ok=True)
    frame.to_csv(OUT / "spread.csv", index=False)
    accuracy = frame.pivot(index="network", columns="seed", values="accuracy").to_numpy()
    found = components(accuracy)
    tau = float(seed_tau(accuracy, np.ones(NUM_NETWORKS)))
    print(
        f"\n{NUM_NETWORKS} networks x {len(SEEDS)} seeds at {DEFAULT_FIDELITY}: accuracy {accuracy.mean():.2%} "
        f"({accuracy.mean(1).min():.2%} to {accuracy.mean(1).max():.2%}), spread {found.spread:.2%}, "
        f"noise {found.noise:.2%}, ratio {found.ratio:.2f}, Kendall tau between seeds {tau:.2f}"
    )
    assert found.ratio >= 2
