"""Is training with growing images faster at no loss, and does regularisation that grows with them help?

The comparisons of Tables 12 and 13 of the paper at a small scale: the same network for the same epochs with images of
one size, with growing images, and with growing images under constant and adaptive regularisation.

    NAS_TEST_DATA=path/to/data pytest -m benchmark tests/benchmarks/test_progressive.py -s

needs CIFAR-10 as parquet in `cifar10` of that folder; takes its first images, as they are and as sharp and blurred
ones. Each training is written to results/progressive/epochs.csv when it has ended, and not done again. Two processes of
one thread; about half an hour on 2 cores.
"""

import itertools
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest
import torch
from rich.console import Console

from nas import ArchSpec
from nas.config import TrainSettings
from nas.train import train

pytestmark = pytest.mark.benchmark

OUT = Path(__file__).parents[2] / "results" / "progressive"
NUM_IMAGES, VAL_IMAGES, EPOCHS = 22_000, 6_000, 12
SEEDS = (0, 1, 2)
DATA = {"cifar10": "{folder}/all", "blur": "blur:{folder}/half?strength=1-4"}
"""Of as many images: each photograph gives two, a sharp one and a blurred one."""
FIXED = {"schedule": "fixed"}
GROWING = {"schedule": "progressive"}
ARMS: dict[str, dict[str, object]] = {
    "fixed": FIXED,
    "progressive": GROWING,
    "progressive, batches to 256": {**GROWING, "max_batch_size": 256},
    "progressive, adaptive": {**GROWING, "randaugment": "2:8", "dropout": "0.05:0.2"},
    "progressive, constant": {**GROWING, "randaugment": "8", "dropout": "0.2"},
}
REGULARISED = ("progressive, adaptive", "progressive, constant")
"""Compared with each other alone, on the data that has labels worth learning for long."""


@dataclass(frozen=True)
class Task:
    data: str
    name: str
    arm: str
    seed: int
    folder: Path


def spec() -> ArchSpec:
    """Return M of a search: S's steps are so short that small images save little of them."""
    return ArchSpec.load(OUT.parent / "fashion_hard_200" / "M.json")


def run(task: Task) -> pd.DataFrame:
    arch = task.folder / "arch.json"
    out = task.folder / f"{task.name}-{list(ARMS).index(task.arm)}-{task.seed}"
    settings = TrainSettings(
        arch=str(arch),
        data=task.data,
        epochs=EPOCHS,
        val_images=VAL_IMAGES,
        device="cpu",
        seed=task.seed,
        out=out,
        **ARMS[task.arm],  # type: ignore[arg-type]
    )
    train(settings, Console(quiet=True))
    epochs = pd.read_csv(out / "metrics.csv")[["epoch", "image_size", "train_s", "train_loss", "val_accuracy"]]
    epochs.insert(0, "seed", task.seed)
    epochs.insert(0, "arm", task.arm)
    epochs.insert(0, "data", task.name)
    return epochs.round(5)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(os.environ.get("NAS_TEST_DATA", "")) / "cifar10" / "train.parquet"
    if not source.is_file():
        pytest.skip("NAS_TEST_DATA must be a folder with cifar10/train.parquet")
    folder = tmp_path_factory.mktemp("images")
    for name, count in (("all", NUM_IMAGES), ("half", NUM_IMAGES // 2)):
        (folder / name).mkdir()
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(source).slice(0, count), folder / name / "train.parquet")
    return folder


def epochs_of_all(images: Path, work: Path) -> pd.DataFrame:
    path = OUT / "epochs.csv"
    OUT.mkdir(parents=True, exist_ok=True)
    spec().save(work / "arch.json")
    there = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data", "arm", "seed"])
    known = set(there[["data", "arm", "seed"]].itertuples(index=False, name=None))
    tasks = [
        Task(pattern.format(folder=images), name, arm, seed, work)
        for seed, (name, pattern), arm in itertools.product(SEEDS, DATA.items(), ARMS)
        if (name, arm, seed) not in known and not (name == "blur" and arm in REGULARISED)
    ]
    # nas.train leaves the number of threads alone; two processes share two cores.
    with multiprocessing.get_context("spawn").Pool(2, torch.set_num_threads, (1,)) as pool:
        for number, epochs in enumerate(pool.imap_unordered(run, tasks), start=1):
            epochs.to_csv(path, mode="a", header=not path.exists(), index=False)
            last = epochs.iloc[-1]
            print(f"{number} of {len(tasks)}: {last.to_dict()}", flush=True)
    return pd.read_csv(path)


def time_to(epochs: pd.DataFrame, accuracy: float) -> float:
    reached = epochs[epochs["val_accuracy"] >= accuracy]
    return float(reached["train_s"].iloc[0]) if len(reached) else float("nan")


def summary(epochs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each training: what it reached, and when it had the final accuracy of fixed size."""
    rows = []
    finals = epochs.groupby(["data", "arm", "seed"]).last()
    mean_finals = finals["val_accuracy"].groupby(["data", "arm"]).mean()
    for (data, arm, seed), course in epochs.groupby(["data", "arm", "seed"], sort=False):
        fixed = finals.loc[(data, "fixed", seed)]
        rows.append(
            {
                "data": data,
                "arm": arm,
                "seed": seed,
                "accuracy": course["val_accuracy"].iloc[-1],
                "train_s": course["train_s"].iloc[-1],
                "relative_time": course["train_s"].iloc[-1] / fixed["train_s"],
                # The same goal for all seeds, less the luck of one.
                "relative_time_to_fixed": time_to(course, mean_finals[data, "fixed"]) / fixed["train_s"],
            }
        )
    return pd.DataFrame(rows)


def test_progressive_training_is_faster_at_no_loss(images: Path, tmp_path: Path):
    runs = summary(epochs_of_all(images, tmp_path))
    runs.round(5).to_csv(OUT / "runs.csv", index=False)
    columns = ["accuracy", "train_s", "relative_time", "relative_time_to_fixed"]
    table = runs.groupby(["data", "arm"], sort=False)[columns].agg(["mean", "std"])
    print(f"\n{table.round(4).to_string()}")
    accuracy, seconds = runs.groupby(["data", "arm"])["accuracy"], runs.groupby(["data", "arm"])["relative_time"]
    for name in DATA:
        noise = accuracy.std()[name].mean()
        assert seconds.median()[name, "progressive"] <= 0.6
        assert accuracy.mean()[name, "progressive"] >= accuracy.mean()[name, "fixed"] - noise
    adaptive, constant = (accuracy.mean()["cifar10", arm] for arm in REGULARISED)
    assert adaptive >= constant - accuracy.std()["cifar10"].mean()
