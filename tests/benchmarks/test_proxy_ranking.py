"""Does the default proxy rank networks as long training does, and which changes to it rank better or cheaper?

24 random networks of the tiny space. Brief trainings have seeds that the long ones have not. A training that the tables
hold is not done again, and each is written when it has ended, so a benchmark that was interrupted goes on.

    NAS_TEST_DATA=path/to/data pytest -m benchmark tests/benchmarks/test_proxy_ranking.py -s

needs CIFAR-10 as parquet in `cifar10` of that folder, writes tables to results/proxy and results/fashion_hard, and
prints what their READMEs quote. Two processes of one thread. The long trainings on CIFAR-10 take hours (`-k cifar10`),
those on the embedded data (`-k embedded`) and the ideas (`-k ideas`) about half an hour each, on 2 cores.
"""

import csv
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.complexity import complexity
from nas.config import DEFAULT_FIDELITY
from nas.data import load_dataset
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.proxy_factory import PROXY_RECIPE
from nas.evaluation.signals import SIGNALS
from nas.evaluation.signals.scorer import Scorer
from nas.evaluation.training_job import TrainingJob
from nas.evaluation.trainings import TrainingEvaluator, TrainingFactory
from nas.results.ranking import (
    components,
    expected_tau,
    interval,
    mean_tau,
    network_means,
    resamples,
    seed_tau,
    weights_of,
)
from nas.training.recipe import Recipe
from search_spaces.efficientnet_v2_tiny import space

pytestmark = pytest.mark.benchmark

RESULTS = Path(__file__).parents[2] / "results"
NETWORKS = range(1000, 1024)
SPECS = {network: space.decode(space.sample(network)) for network in NETWORKS}
BRIEF_SEEDS, LONG_SEEDS = (10, 11), (0, 1)
DEFAULT = "default"

LONG = Recipe()
IDEAS: dict[str, tuple[str, Recipe]] = {
    "half the images": ("2500x2", PROXY_RECIPE),
    "late decay": (DEFAULT_FIDELITY, Recipe(flip=False, shift=0, decay="trapezoid")),
    "AdamW at 0.001": (DEFAULT_FIDELITY, Recipe(flip=False, shift=0, learning_rate=0.001)),
    "AdamW at 0.01": (DEFAULT_FIDELITY, Recipe(flip=False, shift=0, learning_rate=0.01)),
    "one epoch": ("5000x1", PROXY_RECIPE),
    "one epoch of twice the images": ("10000x1", PROXY_RECIPE),
    "images of 24 pixels": ("5000x2@24", PROXY_RECIPE),
    "images of 16 pixels": ("5000x2@16", PROXY_RECIPE),
    "flips and shifts": (DEFAULT_FIDELITY, LONG),
    "SGD at 0.05": (
        DEFAULT_FIDELITY,
        Recipe(flip=False, shift=0, optimizer="sgd", learning_rate=0.05, weight_decay=5e-4),
    ),
    "constant learning rate": (DEFAULT_FIDELITY, Recipe(flip=False, shift=0, decay="constant")),
    "no label smoothing": (DEFAULT_FIDELITY, Recipe(flip=False, shift=0, label_smoothing=0.0)),
    "batches of 32": (DEFAULT_FIDELITY, Recipe(flip=False, shift=0, batch_size=32)),
    "batches of 128": (DEFAULT_FIDELITY, Recipe(flip=False, shift=0, batch_size=128)),
    "twice the images": ("10000x2", PROXY_RECIPE),
    "four epochs": ("5000x4", PROXY_RECIPE),
}


@dataclass(frozen=True)
class Task:
    data: str
    val_images: int | None
    idea: str
    network: int
    fidelity: str
    seed: int
    recipe: Recipe

    @property
    def key(self) -> tuple[str, int, int]:
        return self.idea, self.network, self.seed


_evaluate: TrainingEvaluator | None = None


def train(task: Task) -> tuple[Task, dict[str, object]]:
    global _evaluate
    if _evaluate is None:
        _evaluate = TrainingFactory(task.data, None, task.val_images, data_seed=0, device="cpu")()
    spec = SPECS[task.network]
    found = _evaluate(TrainingJob(0, spec, Fidelity.parse(task.fidelity), task.seed, recipe=task.recipe))
    row = {"idea": task.idea, "network": task.network, "arch_id": spec.arch_id, "fidelity": task.fidelity}
    row |= {"seed": task.seed, "accuracy": round(found.accuracy, 5), "val_loss": round(found.val_loss, 5)}
    return task, row | {"cost_cpu_s": round(found.train_cpu_s, 3)}


def done(path: Path) -> pd.DataFrame:
    columns = ("idea", "network", "arch_id", "fidelity", "seed", "accuracy", "val_loss", "cost_cpu_s")
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(columns))


def trained(path: Path, tasks: Sequence[Task]) -> pd.DataFrame:
    """Do the trainings that the table lacks; return the table."""
    there = {(row.idea, row.network, row.seed) for row in done(path).itertuples()}
    missing = [task for task in tasks if task.key not in there]
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with multiprocessing.get_context("spawn").Pool(2) as pool, path.open("a", newline="") as file:
            for number, (_, row) in enumerate(pool.imap_unordered(train, missing), start=1):
                writer = csv.DictWriter(file, row, lineterminator="\n")
                if new:
                    writer.writeheader()
                    new = False
                writer.writerow(row)
                file.flush()
                print(f"{number} of {len(missing)}: {row}", flush=True)
    return done(path)


def matrix(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return what networks have, of shape (networks, seeds); NaN where there is none."""
    return frame.pivot(index="network", columns="seed", values=column).reindex(list(NETWORKS)).to_numpy(float)


def ranked(name: str, runs: np.ndarray, truth: np.ndarray, cost: float) -> dict[str, object]:
    samples = weights_of(resamples(len(NETWORKS)))
    once = np.ones(len(NETWORKS))
    low, high = interval(mean_tau(runs, truth, samples))
    top_low, top_high = interval(mean_tau(runs, truth, samples, top=0.5))
    return {
        "name": name,
        "tau": float(mean_tau(runs, truth, once)),
        "low": low,
        "high": high,
        "top half": float(mean_tau(runs, truth, once, top=0.5)),
        "top low": top_low,
        "top high": top_high,
        "relative cost": cost,
    }


def baselines(data: str) -> dict[str, np.ndarray]:
    dataset = load_dataset(data)
    costs = {
        n: complexity(spec, num_classes=dataset.num_classes, in_channels=dataset.in_channels)
        for n, spec in SPECS.items()
    }
    found = {
        "parameters": np.array([cost.num_params for cost in costs.values()], float),
        "multiply-adds": np.array([cost.num_macs for cost in costs.values()], float),
        "depth": np.array([spec.num_blocks for spec in SPECS.values()], float),
    }
    scorer = Scorer(dataset, tuple(SIGNALS))
    scores = [scorer(spec) for spec in SPECS.values()]
    for name in SIGNALS:
        found[name] = np.array([np.nan if score[name] is None else score[name] for score in scores], float)
    return found


def summary(data: str, brief: pd.DataFrame, long: pd.DataFrame) -> pd.DataFrame:
    """Return how well each kind of brief training, and each baseline, ranks as long training does."""
    runs = matrix(long, "accuracy")
    truth, long_cost = network_means(runs), np.nanmean(matrix(long, "cost_cpu_s"), axis=1)
    rows = []
    for idea, frame in brief.groupby("idea", sort=False):
        cost = float(np.nanmean(np.nanmean(matrix(frame, "cost_cpu_s"), axis=1) / long_cost))
        rows.append(ranked(str(idea), matrix(frame, "accuracy"), truth, cost))
        rows.append(ranked(f"{idea}, validation loss", -matrix(frame, "val_loss"), truth, cost))
    rows += [ranked(name, scores[:, None], truth, 0.0) for name, scores in baselines(data).items()]
    return pd.DataFrame(rows)


def report(title: str, table: pd.DataFrame, brief: pd.DataFrame, long: pd.DataFrame) -> None:
    once = np.ones(len(NETWORKS))
    runs = matrix(long, "accuracy")
    print(f"\n{title}: {np.isfinite(runs).any(axis=1).sum()} networks, {runs.shape[1]} long seeds")
    print(f"long accuracies {np.nanmin(runs):.2%} to {np.nanmax(runs):.2%}")
    both = runs[np.isfinite(runs).all(axis=1)]
    if runs.shape[1] > 1 and len(both) > 2:
        of_long = components(both)
        print(f"long: spread {of_long.spread:.2%}, noise {of_long.noise:.2%}, tau of seeds {seed_tau(runs, once):.2f}")
        default = matrix(brief[brief["idea"] == DEFAULT], "accuracy")
        of_brief = components(default)
        ceiling = expected_tau(of_brief.correlation(1) * of_long.correlation(runs.shape[1]))
        print(
            f"default: spread {of_brief.spread:.2%}, noise {of_brief.noise:.2%}, tau of seeds "
            f"{seed_tau(default, once):.2f}; noise alone would leave tau {float(ceiling):.2f}"
        )
    print(table.round(3).to_string(index=False))


def long_tasks(data: str, val_images: int | None, fidelity: str, seeds: Sequence[int]) -> list[Task]:
    return [Task(data, val_images, "long", network, fidelity, seed, LONG) for seed in seeds for network in NETWORKS]


def default_tasks(data: str, val_images: int | None) -> list[Task]:
    return [
        Task(data, val_images, DEFAULT, network, DEFAULT_FIDELITY, seed, PROXY_RECIPE)
        for seed in BRIEF_SEEDS
        for network in NETWORKS
    ]


def cifar10() -> str:
    folder = Path(os.environ.get("NAS_TEST_DATA", "")) / "cifar10"
    if not (folder / "train.parquet").is_file():
        pytest.skip("NAS_TEST_DATA must be a folder with cifar10/train.parquet")
    return str(folder)


def test_default_proxy_ranks_cifar10_networks_as_long_training_does():
    data, val_images = cifar10(), 10_000
    brief = trained(RESULTS / "proxy" / "brief.csv", default_tasks(data, val_images))
    long = trained(RESULTS / "proxy" / "long.csv", long_tasks(data, val_images, "30000x12", LONG_SEEDS))
    table = summary(data, brief[brief["idea"] == DEFAULT], long)
    report("CIFAR-10", table, brief, long)
    default = table.set_index("name").loc[DEFAULT]
    assert default["tau"] >= 0.65
    assert default["top half"] >= 0.4
    assert default["relative cost"] <= 0.08


def test_default_proxy_ranks_on_the_embedded_data_as_longer_training_does():
    data = "fashion-hard"
    brief = trained(RESULTS / "fashion_hard" / "brief.csv", default_tasks(data, None))
    long = trained(RESULTS / "fashion_hard" / "long.csv", long_tasks(data, None, "18000x6", LONG_SEEDS[:1]))
    table = summary(data, brief, long)
    report("fashion-hard", table, brief, long)
    assert table.set_index("name").loc[DEFAULT, "tau"] >= 0.6


def test_none_of_the_ideas_beats_the_default_proxy_by_more_than_chance():
    data, val_images = cifar10(), 10_000
    tasks = default_tasks(data, val_images) + [
        Task(data, val_images, idea, network, fidelity, BRIEF_SEEDS[0], recipe)
        for idea, (fidelity, recipe) in IDEAS.items()
        for network in NETWORKS
    ]
    brief = trained(RESULTS / "proxy" / "brief.csv", tasks)
    long = done(RESULTS / "proxy" / "long.csv")
    # One seed for all, the default's too: of the same networks, in the same order of images.
    brief = brief[brief["seed"] == BRIEF_SEEDS[0]]
    table = summary(data, brief, long)
    report("ideas, CIFAR-10", table, brief, long)
    by_name = table.set_index("name")
    cheap = [
        idea for idea in IDEAS if by_name.loc[idea, "relative cost"] <= 1.2 * by_name.loc[DEFAULT, "relative cost"]
    ]
    assert by_name.loc[cheap, "tau"].max() <= by_name.loc[DEFAULT, "high"]
