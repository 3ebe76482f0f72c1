"""Does a network's step time depend on what else the search does? One worker against two, on the same networks.

Two searches at random with one seed propose the same networks. With two workers, each trains while the other times, but
for the lease.

    pytest -m benchmark tests/benchmarks/test_step_time_workers.py -s

prints a table of all networks. About three minutes on 2 cores that have nothing else to do.
"""

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from nas.config import SearchSettings
from nas.search import search

pytestmark = pytest.mark.benchmark

NUM_NETWORKS = 10


def timed(out: Path, workers: int) -> pd.DataFrame:
    settings = SearchSettings(
        budget=NUM_NETWORKS,
        sampler="random",
        warm_start=False,
        fidelity="2000x1",
        val_images=1000,
        workers=workers,
        device="cpu",
        out=out,
    )
    run, _ = search(settings, Console(file=io.StringIO()))
    trials = run.trials.set_index("arch_id")
    assert trials["exclusive"].all()
    return trials[["step_time_s", "relative_step_time", "timing_s", "paused_s", "lease_wait_s", "wall_s"]]


def test_two_workers_measure_the_step_times_of_one(tmp_path: Path) -> None:
    one, two = timed(tmp_path / "one", 1), timed(tmp_path / "two", 2)
    table = one.join(two, lsuffix="_1", rsuffix="_2", how="inner")
    for name in ("step_time_s", "relative_step_time"):
        table[f"{name}_ratio"] = table[f"{name}_2"] / table[f"{name}_1"]
    print(f"\n{table.T.to_string(float_format='%.4f')}")
    for name in ("step_time_s", "relative_step_time"):
        tau = table[f"{name}_1"].corr(table[f"{name}_2"], method="kendall")
        print(f"{name}: median ratio {table[f'{name}_ratio'].median():.4f}, Kendall tau {tau:.3f}")
    assert len(table) == NUM_NETWORKS
    assert abs(table["step_time_s_ratio"].median() - 1) <= 0.03
    assert table["step_time_s_1"].corr(table["step_time_s_2"], method="kendall") >= 0.95
