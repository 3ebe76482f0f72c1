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
import torch

from nas.config import DEFAULT_FIDELITY
from nas.data import load_dataset
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.proxy import ProxyEvaluator
from search_spaces.efficientnet_v2_tiny import space

pytestmark = pytest.mark.benchmark

NUM_NETWORKS = 24
SEEDS = (0, 1, 2)
OUT = Path(__file__).parents[2] / "results" / "fashion_hard"


def train(job: tuple[int, int]) -> dict[str, object]:
    torch.set_num_threads(1)
    network, seed = job
    spec = space.decode(space.sample(1000 + network))
    evaluator = ProxyEvaluator(load_dataset("fashion-hard", seed=seed), space.reference, torch.device("cpu"))
    accuracy, loss = evaluator.train(spec, Fidelity.parse(DEFAULT_FIDELITY), seed)
    return {"network": network, "seed": seed, "arch_id": spec.arch_id, "accuracy": accuracy, "train_loss": loss}


def test_networks_differ_by_at_least_twice_the_noise():
    jobs = list(itertools.product(range(NUM_NETWORKS), SEEDS))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        frame = pd.DataFrame(pool.map(train, jobs, chunksize=1))
    OUT.mkdir(parents=True, exist_ok=True)
    frame.to_csv(OUT / "spread.csv", index=False)
    accuracy = frame.pivot(index="network", columns="seed", values="accuracy").to_numpy()
    noise = np.sqrt(accuracy.var(axis=1, ddof=1).mean())
    # The variance of the means holds the noise of a mean; what is left is the networks' own.
    spread = np.sqrt(max(0.0, accuracy.mean(axis=1).var(ddof=1) - noise**2 / len(SEEDS)))
    pairs = itertools.combinations(range(len(SEEDS)), 2)
    tau = np.mean([frame_tau(accuracy[:, a], accuracy[:, b]) for a, b in pairs])
    print(
        f"\n{NUM_NETWORKS} networks x {len(SEEDS)} seeds at {DEFAULT_FIDELITY}: accuracy {accuracy.mean():.2%} "
        f"({accuracy.mean(1).min():.2%} to {accuracy.mean(1).max():.2%}), spread {spread:.2%}, noise {noise:.2%}, "
        f"ratio {spread / noise:.2f}, Kendall tau between seeds {tau:.2f}"
    )
    assert spread >= 2 * noise


def frame_tau(first: np.ndarray, second: np.ndarray) -> float:
    return float(pd.Series(first).corr(pd.Series(second), method="kendall"))
