"""The training of examples/blur_or_sharp.md, at the size of CIFAR-10's images: does its accuracy rise in three phases?

    NAS_TEST_DATA=path/to/data pytest -m benchmark tests/benchmarks/test_blur_example.py -s

needs CIFAR-10 as parquet in `cifar10` of that folder. Writes results/blur_or_sharp/metrics.csv, unless it is there, and
docs/images/blur_or_sharp.svg. One process of one thread; about a quarter of an hour.
"""

import os
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pyarrow.parquet
import pytest
import torch
from rich.console import Console

from nas.config import TrainSettings
from nas.models import get_arch
from nas.train import train

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
OUT = ROOT / "results" / "blur_or_sharp"
PICTURE = ROOT / "docs" / "images" / "blur_or_sharp.svg"
NUM_PHOTOGRAPHS, VAL_IMAGES, EPOCHS = 5_000, 2_000, 35
PHASES = (EPOCHS * 2 // 7, EPOCHS * 4 // 7, EPOCHS)


def metrics(tmp_path: Path) -> pd.DataFrame:
    path = OUT / "metrics.csv"
    if not path.exists():
        source = Path(os.environ.get("NAS_TEST_DATA", "")) / "cifar10" / "train.parquet"
        if not source.is_file():
            pytest.skip("NAS_TEST_DATA must be a folder with cifar10/train.parquet")
        photographs = pyarrow.parquet.read_table(source).slice(0, NUM_PHOTOGRAPHS)
        pyarrow.parquet.write_table(photographs, tmp_path / "train.parquet")
        small = replace(get_arch("efficientnet_v2_s", width_mult=0.25), train_image_size=32, eval_image_size=32)
        small.save(tmp_path / "blur_s.json")
        settings = TrainSettings(
            arch=str(tmp_path / "blur_s.json"),
            data=f"blur:{tmp_path}/train.parquet?strength=1-4",
            epochs=EPOCHS,
            val_images=VAL_IMAGES,
            learning_rate=0.001,
            clip_grad_norm=1.0,
            stochastic_depth="0",
            device="cpu",
            out=tmp_path / "training",
        )
        torch.set_num_threads(1)
        train(settings, Console())
        OUT.mkdir(parents=True, exist_ok=True)
        pd.read_csv(tmp_path / "training" / "metrics.csv").round(5).to_csv(path, index=False)
    return pd.read_csv(path, index_col="epoch")


def draw(accuracy: pd.Series) -> None:
    plt.rcParams["svg.hashsalt"] = "blur"
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(accuracy.index, 100 * accuracy, color="#0072b2")
    for phase in PHASES:
        axes.plot(phase, 100 * accuracy[phase], "o", color="#d55e00")
        axes.annotate(f"{accuracy[phase]:.1%}", (phase, 100 * accuracy[phase]), (-14, -16), textcoords="offset points")
    axes.set(xlabel="epoch", ylabel="validation accuracy, %", xlim=(0, EPOCHS + 2))
    axes.grid(alpha=0.3)
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)


def test_accuracy_rises_in_three_phases(tmp_path: Path):
    accuracy = metrics(tmp_path)["val_accuracy"]
    draw(accuracy)
    print("\n" + ", ".join(f"epoch {phase}: {accuracy[phase]:.2%}" for phase in PHASES))
    first, second, third = accuracy[list(PHASES)]
    assert first < second < third
