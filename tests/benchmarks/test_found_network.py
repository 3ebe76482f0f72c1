"""Does a network that was found beat the published one, scaled to the same step time, on the same data?

S of results/fashion_hard_200 against EfficientNetV2-B0 made narrower and shallower, by EfficientNet's compound rule,
until a training step takes as long. B0 halves its images five times, which leaves one pixel of 32: so it is also tried
with as few halvings as S has, the last ones left out, which takes more time a layer and so makes it narrower.

    pytest -m benchmark tests/benchmarks/test_found_network.py -s

Each training is written to results/found_network/runs.csv when it has ended, and not done again. Two processes of one
thread; about half an hour on 2 cores.
"""

import itertools
import multiprocessing
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console

from nas import ArchSpec
from nas.config import TrainSettings
from nas.evaluation.complexity import count_macs, count_params
from nas.evaluation.step_setup import StepSetup
from nas.evaluation.step_time import StepTimer
from nas.evaluation.timing_statistics import Effort
from nas.models import build_model, get_arch
from nas.train import train
from nas.training.cpu import prepare_cpu
from nas.training.recipe import Recipe

pytestmark = pytest.mark.benchmark

RESULTS = Path(__file__).parents[2] / "results"
OUT = RESULTS / "found_network"
FOUND = RESULTS / "fashion_hard_200" / "S.json"
DATA, NUM_CLASSES, IN_CHANNELS = "fashion-hard", 10, 1
SEEDS = range(5)
EPOCHS, VAL_IMAGES = 12, 2_000
STEP_TIME_TOLERANCE = 0.05


def scaled_b0(step: float, total_stride: int) -> ArchSpec:
    """Return B0 with widths times 1.1^step and layers times 1.2^step: Tan & Le 2019, section 3.3, downwards."""
    b0 = get_arch("efficientnet_v2_b0")
    stages, stride = [], b0.stem_stride
    for stage in b0.stages:
        kept = stage.stride if stride * stage.stride <= total_stride else 1
        stride *= kept
        channels = max(4, round(stage.out_channels * 1.1**step / 4) * 4)
        layers = max(1, round(stage.num_layers * 1.2**step))
        stages.append(replace(stage, stride=kept, out_channels=channels, num_layers=layers))
    stem, head = (max(8, round(each * 1.1**step / 8) * 8) for each in (b0.stem_channels, b0.head_channels))
    return replace(
        b0,
        stages=tuple(stages),
        stem_channels=stem,
        head_channels=head,
        train_image_size=32,
        eval_image_size=None,
        dropout=0.1,  # This and the next: S's, whose size it has.
        stochastic_depth=0.0,
        name=f"B0 / {total_stride}",
    )


def as_fast(timer: StepTimer, total_stride: int) -> ArchSpec:
    """Return the largest scaled B0 whose step takes no more than 1 + tolerance times S's, by bisection."""
    low, high = -30.0, 0.0
    for _ in range(9):
        middle = (low + high) / 2
        relative = timer.measure(scaled_b0(middle, total_stride)).relative_step_time
        low, high = (middle, high) if relative <= 1 + STEP_TIME_TOLERANCE else (low, middle)
    return scaled_b0(low, total_stride)


def networks() -> pd.DataFrame:
    """Return what is compared, with costs; kept, as a second timing would scale to other widths."""
    path = OUT / "networks.csv"
    if path.exists():
        return pd.read_csv(path)
    prepare_cpu(num_threads=1)
    found = ArchSpec.load(FOUND)
    timer = StepTimer(
        found,
        StepSetup(),
        num_classes=NUM_CLASSES,
        in_channels=IN_CHANNELS,
        recipe=Recipe(),
        device=torch.device("cpu"),
        effort=Effort(target=0.01),
    )
    rows = []
    for name, spec in {"S": found, "B0": as_fast(timer, 32), "B0, stride 8": as_fast(timer, 8)}.items():
        model = build_model(spec, NUM_CLASSES, IN_CHANNELS)
        spec.save(OUT / f"{name.replace(', ', '-').replace(' ', '-')}.json")
        rows.append(
            {
                "network": name,
                "arch": f"{name.replace(', ', '-').replace(' ', '-')}.json",
                "relative_step_time": round(timer.measure(spec).relative_step_time, 4),
                "num_params": count_params(model),
                "num_macs": count_macs(model, torch.zeros(1, IN_CHANNELS, 32, 32)),
            }
        )
    table = pd.DataFrame(rows)
    table.to_csv(path, index=False)
    return table


@dataclass(frozen=True)
class Task:
    network: str
    arch: Path
    seed: int
    folder: Path


def run(task: Task) -> dict[str, object]:
    out = task.folder / f"{task.arch.stem}-{task.seed}"
    settings = TrainSettings(
        arch=str(task.arch),
        data=DATA,
        epochs=EPOCHS,
        val_images=VAL_IMAGES,
        device="cpu",
        seed=task.seed,
        out=out,
    )
    found = train(settings, Console(quiet=True))
    assert found.test is not None
    last = pd.read_csv(out / "metrics.csv").iloc[-1]
    return {
        "network": task.network,
        "seed": task.seed,
        "val_accuracy": round(found.validation.accuracy, 5),
        "test_accuracy": round(found.test.accuracy, 5),
        "train_s": round(float(last["train_s"]), 2),
    }


def runs_of_all(work: Path) -> pd.DataFrame:
    path = OUT / "runs.csv"
    table = networks()
    there = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["network", "seed"])
    known = set(there[["network", "seed"]].itertuples(index=False, name=None))
    tasks = [
        Task(row.network, OUT / row.arch, seed, work)
        for seed, row in itertools.product(SEEDS, table.itertuples())
        if (row.network, seed) not in known
    ]
    # nas.train leaves the number of threads alone; two processes share two cores.
    with multiprocessing.get_context("spawn").Pool(2, torch.set_num_threads, (1,)) as pool:
        for number, row in enumerate(pool.imap_unordered(run, tasks), start=1):
            pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)
            print(f"{number} of {len(tasks)}: {row}", flush=True)
    return pd.read_csv(path)


def test_found_network_beats_the_published_one_of_its_step_time(tmp_path: Path):
    OUT.mkdir(parents=True, exist_ok=True)
    runs = runs_of_all(tmp_path)
    columns = ["val_accuracy", "test_accuracy", "train_s"]
    table = runs.groupby("network", sort=False)[columns].agg(["mean", "std", "count"])
    print(f"\n{networks().to_string(index=False)}\n{table.round(4).to_string()}")
    mean = runs.groupby("network")["test_accuracy"].mean()
    assert mean["S"] > mean.drop("S").max()
