"""How well are step times predicted that were not measured?

Random networks of the tiny space are timed against its reference, several rounds over all of them; a network's time is
its median over the rounds. Each is then predicted from the others: by the predictor, and by the best line through
multiply-adds, activations or parameters alone.

    pytest -m benchmark tests/benchmarks/test_step_predictor.py -s

goes by results/step_predictor/timings.csv, and writes it first where it is missing or of another space: about 4 minutes
in one thread. It prints the tables that results/step_predictor/README.md quotes.
"""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from nas.complexity import complexity
from nas.config import ProfileSettings
from nas.evaluation.step_features import StepShape
from nas.evaluation.step_predictor import StepTimePredictor
from nas.profile import make_timer
from search_spaces.efficientnet_v2_tiny import space

pytestmark = pytest.mark.benchmark

NUM_NETWORKS = 64
NUM_ROUNDS = 2
NUM_DRAWS = 50
SETTINGS = ProfileSettings(Path("unused"), device="cpu")
SHAPE = StepShape(SETTINGS.batch_size, SETTINGS.num_classes, SETTINGS.in_channels)
CSV = Path(__file__).parents[2] / "results" / "step_predictor" / "timings.csv"


@pytest.fixture(scope="module")
def specs():
    samples = (space.decode(space.sample(seed)) for seed in itertools.count())
    return list(itertools.islice((spec for spec in samples if space.excess(spec) <= 0), NUM_NETWORKS))


@pytest.fixture(scope="module")
def timings(specs):
    """Return relative step times: a row for each network, a column for each round."""
    if not CSV.exists() or pd.read_csv(CSV)["arch_id"].tolist() != [spec.arch_id for spec in specs] * NUM_ROUNDS:
        measure(specs)
    return pd.read_csv(CSV).pivot(index="network", columns="round", values="relative_step_time")


def measure(specs):
    time, _ = make_timer(space.reference, SETTINGS, torch.device("cpu"))
    rows = []
    for number in range(NUM_ROUNDS):
        for network, spec in enumerate(specs):
            found = time(spec)
            rows.append(
                {
                    "round": number,
                    "network": network,
                    "arch_id": spec.arch_id,
                    "step_time_s": found.step_time_s,
                    "relative_step_time": found.relative_step_time,
                    "relative_step_time_spread": found.relative_step_time_spread,
                }
            )
    CSV.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(CSV, index=False)


def tau(first, second):
    return float(pd.Series(first).corr(pd.Series(second), method="kendall"))


def left_out_by_line(count, times):
    """Return predictions of each network by the line through the others that has the least relative errors."""
    rows = np.column_stack([np.ones_like(count), count / count.mean()]) / times[:, None]
    found = []
    for index in range(len(times)):
        others = np.arange(len(times)) != index
        line = np.linalg.lstsq(rows[others], np.ones(others.sum()), rcond=None)[0]
        found.append(times[index] * (rows[index] @ line))
    return np.array(found)


def test_left_out_networks_are_predicted(specs, timings):
    times = timings.median(axis=1).to_numpy()
    costs = [complexity(spec, num_classes=10, in_channels=3) for spec in specs]
    predictor = StepTimePredictor.fit(specs, times, SHAPE)
    predicted = {"the predictor": times * (1 + predictor.residuals)}
    for name in ("num_macs", "num_activations", "num_params"):
        count = np.array([float(getattr(cost, name)) for cost in costs])
        predicted[f"{name} alone"] = left_out_by_line(count, times)
    print(f"\n{len(specs)} networks, relative step times {times.min():.2f} to {times.max():.2f}")
    between = np.median(np.abs(timings[0] / timings[1] - 1))
    print(f"two rounds: median difference {between:.1%}, Kendall tau {tau(timings[0], timings[1]):.3f}")
    print("| left out, predicted by | median error | 90% below | Kendall tau |\n|---|---:|---:|---:|")
    for name, values in predicted.items():
        errors = np.abs(values / times - 1)
        print(f"| {name} | {np.median(errors):.1%} | {np.quantile(errors, 0.9):.1%} | {tau(values, times):.3f} |")
    assert predictor.error <= 0.06
    assert tau(predicted["the predictor"], times) >= 0.93


def test_more_measured_networks_predict_better(specs, timings):
    """Each of several times, all but a few networks are predicted from those few."""
    times, rng = timings.median(axis=1).to_numpy(), np.random.default_rng(0)
    medians = {}
    print("\n| measured | median error on the others |\n|---:|---:|")
    for number in (10, 20, 40, 60):
        errors = []
        for _ in range(NUM_DRAWS):
            order = rng.permutation(len(specs))
            fitted, rest = order[:number], order[number:]
            predictor = StepTimePredictor.fit([specs[i] for i in fitted], times[fitted], SHAPE)
            errors += [abs(predictor.predict(specs[i]).step_time / times[i] - 1) for i in rest]
        medians[number] = float(np.median(errors))
        print(f"| {number} | {medians[number]:.1%} |")
    assert medians[60] < medians[10]
