"""Is training with growing images faster at no loss, and does regularisation that grows with them help?

The comparisons of Tables 12 and 13 of the paper at a small scale: the same network for the same epochs with images of
one size, with growing images, and with growing images under constant and adaptive regularisation; and images of one
size for as much time as growing ones take.

    NAS_TEST_DATA=path/to/data pytest -m benchmark tests/benchmarks/test_progressive.py -s

needs CIFAR-10 as parquet in `cifar10` of that folder; takes some of its images, as they are and as sharp and blurred
ones. Accuracy is that on the test split. Each training is written to results/progressive/runs.csv when it has ended,
its course to epochs.csv, and it is not done again. Two processes of one thread; about half an hour on 2 cores.
"""

import itertools
import multiprocessing
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
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
NUM_IMAGES, VAL_IMAGES, EPOCHS = 6_000, 1_000, 24
SEEDS = (0, 1, 2)
DATA = {"cifar10": "{folder}/all", "blur": "blur:{folder}/half?strength=1-4"}
"""Of as many images: each photograph gives two, a sharp one and a blurred one."""

GROWING, LATE = {"schedule": "progressive", "decay": "cosine"}, {"decay": "trapezoid"}
ARMS: dict[str, dict[str, object]] = {
    "fixed": {},
    "progressive": GROWING,
    "progressive, batches to 256": {**GROWING, "max_batch_size": 256},
    "fixed, fewer epochs": {"epochs": round(0.6 * EPOCHS)},
    "progressive, adaptive": {**GROWING, "randaugment": "2:8", "dropout": "0.05:0.2"},
    "progressive, constant": {**GROWING, "randaugment": "8", "dropout": "0.2"},
    "fixed, late decay": LATE,
    "fixed, fewer epochs, late decay": {**LATE, "epochs": round(0.6 * EPOCHS)},
    "progressive, late decay": {**GROWING, **LATE},
}
REGULARISED = ("progressive, adaptive", "progressive, constant")
DEFAULT = "progressive, late decay"
CIFAR10_ONLY = (*REGULARISED, *(arm for arm in ARMS if "late" in arm and arm != DEFAULT))


@dataclass(frozen=True)
class Task:
    data: str
    name: str
    arm: str
    seed: int
    folder: Path


def spec() -> ArchSpec:
    """Return M of a search, at CIFAR-10's own size: S's steps are so short that small images save little of them."""
    found = ArchSpec.load(OUT.parent / "fashion_hard_200" / "M.json")
    return replace(found, train_image_size=32, eval_image_size=None)


def run(task: Task) -> tuple[dict[str, object], pd.DataFrame]:
    out = task.folder / f"{task.name}-{list(ARMS).index(task.arm)}-{task.seed}"
    given: dict[str, object] = {"epochs": EPOCHS, "val_images": VAL_IMAGES, "device": "cpu", **ARMS[task.arm]}
    settings = TrainSettings(
        arch=str(task.folder / "arch.json"),
        data=task.data,
        seed=task.seed,
        out=out,
        **given,  # type: ignore[arg-type]
    )
    found = train(settings, Console(quiet=True))
    assert found is not None
    assert found.test is not None
    which = {"data": task.name, "arm": task.arm, "seed": task.seed}
    epochs = pd.read_csv(out / "metrics.csv")[["epoch", "image_size", "train_s", "train_loss", "val_accuracy"]]
    row = {**which, "accuracy": round(found.test.accuracy, 5), "train_s": round(float(epochs["train_s"].iloc[-1]), 2)}
    return row, epochs.assign(**which)[[*which, *epochs.columns]].round(5)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(os.environ.get("NAS_TEST_DATA", "")) / "cifar10" / "train.parquet"
    if not source.is_file():
        pytest.skip("NAS_TEST_DATA must be a folder with cifar10/train.parquet")
    folder = tmp_path_factory.mktemp("images")
    for name, share in (("all", 1), ("half", 2)):
        (folder / name).mkdir()
        for split, count in (("train", NUM_IMAGES), ("test", 10_000)):
            table = pyarrow.parquet.read_table(source.with_name(f"{split}.parquet")).slice(0, count // share)
            pyarrow.parquet.write_table(table, folder / name / f"{split}.parquet")
    return folder


def append(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, mode="a", header=not path.exists(), index=False)


def runs_of_all(images: Path, work: Path) -> pd.DataFrame:
    path = OUT / "runs.csv"
    OUT.mkdir(parents=True, exist_ok=True)
    spec().save(work / "arch.json")
    there = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data", "arm", "seed"])
    known = set(there[["data", "arm", "seed"]].itertuples(index=False, name=None))
    tasks = [
        Task(pattern.format(folder=images), name, arm, seed, work)
        for seed, (name, pattern), arm in itertools.product(SEEDS, DATA.items(), ARMS)
        if (name, arm, seed) not in known and not (name == "blur" and arm in CIFAR10_ONLY)
    ]
    # nas.train leaves the number of threads alone; two processes share two cores.
    with multiprocessing.get_context("spawn").Pool(2, torch.set_num_threads, (1,)) as pool:
        for number, (row, epochs) in enumerate(pool.imap_unordered(run, tasks), start=1):
            append(path, pd.DataFrame([row]))
            append(OUT / "epochs.csv", epochs)
            print(f"{number} of {len(tasks)}: {row}", flush=True)
    return pd.read_csv(path)


def times_to_the_end_of_fixed() -> pd.Series:
    """Return when each training has the validation accuracy that images of one size end with, in shares of their time;
    infinity where it never does.
    """
    epochs = pd.read_csv(OUT / "epochs.csv")
    ends = epochs[epochs["arm"] == "fixed"].groupby(["data", "seed"])[["train_s", "val_accuracy"]].last()

    def share(course: pd.DataFrame) -> float:
        end = ends.loc[tuple(course[["data", "seed"]].iloc[0])]
        reached = course.loc[course["val_accuracy"] >= end["val_accuracy"], "train_s"]
        return float(reached.min() / end["train_s"]) if len(reached) else np.inf

    shares = {key: share(course) for key, course in epochs.groupby(["data", "arm", "seed"], sort=False)}
    return pd.Series(shares).rename_axis(["data", "arm", "seed"])


def test_progressive_training_is_faster_at_no_loss(images: Path, tmp_path: Path):
    runs = runs_of_all(images, tmp_path)
    fixed = runs[runs["arm"] == "fixed"].set_index(["data", "seed"])
    same = pd.MultiIndex.from_frame(runs[["data", "seed"]])
    runs["relative_time"] = runs["train_s"].to_numpy() / fixed["train_s"].loc[same].to_numpy()
    runs["gain"] = runs["accuracy"].to_numpy() - fixed["accuracy"].loc[same].to_numpy()
    table = runs.groupby(["data", "arm"], sort=False)[["accuracy", "gain", "train_s", "relative_time"]]
    print(f"\n{table.agg(['mean', 'std']).round(4).to_string()}")
    mean, noise = table.mean(), table.std()["accuracy"].groupby("data").mean()
    adaptive, constant = (mean["accuracy"]["cifar10", arm] for arm in REGULARISED)
    assert adaptive >= constant - noise["cifar10"]
    for name in DATA:
        # Of the same steps, trained beside those of one size: the default came on another day.
        assert mean["relative_time"][name, "progressive"] <= 0.6
        assert mean["gain"][name, DEFAULT] >= -noise[name]
