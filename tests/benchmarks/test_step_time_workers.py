"""Does a network's step time depend on what else the search does? One worker against two, on the same networks.

Two searches at random with one seed propose the same networks. With two workers, each trains while the other times, but
for the lease.

    pytest -m benchmark tests/benchmarks/test_step_time_workers.py -s

prints tables of all networks. About three minutes on 2 cores; it means something only where these have nothing else to
do, which a second search with one worker shows.
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


def compare(first: pd.DataFrame, second: pd.DataFrame, what: str) -> dict[str, tuple[float, float]]:
    """Print the two side by side; return median ratio and Kendall tau of each kind of step time."""
    table = pd.concat([first.add_suffix("_1"), second.add_suffix("_2")], axis="columns", join="inner")
    print(f"\n{what}\n{table.T.to_string(float_format='%.4f')}")
    found = {}
    for name in ("step_time_s", "relative_step_time"):
        one, two = table[f"{name}_1"], table[f"{name}_2"]
        ratio, tau = (two / one).median(), one.corr(two, method="kendall")
        print(f"{name}: median ratio {ratio:.4f}, Kendall tau {tau:.3f}")
        found[name] = ratio, tau
    return found


def test_two_workers_measure_the_step_times_of_one(tmp_path: Path) -> None:
    one, two, again = timed(tmp_path / "one", 1), timed(tmp_path / "two", 2), timed(tmp_path / "again", 1)
    assert len(one.index.intersection(two.index)) == NUM_NETWORKS
    compare(one, again, "one worker, one worker again: what the machine does by itself")
    ratio, tau = compare(one, two, "one worker, two workers")["step_time_s"]
    assert abs(ratio - 1) <= 0.03
    assert tau >= 0.95
