"""How long does our search take to reach what the plain way has reached at its end?

Both search the same space on the same data with the same budget, one after the other on an idle machine. The plain way
is `plain_search.py`: Optuna's default sampler, torchvision's blocks, one process with default threads, one fidelity.
Ours is `python -m nas.search` with its defaults. What either shows as its front is judged by the same judge: trained
again with more images, another seed and another split, steps timed by our timer. Hypervolume is that of accuracy,
log step time and log parameters as judged, beyond the worst that any judged network has. Ours has reached the plain way
when the front that it shows at that moment, as judged, has the plain way's final hypervolume.

    pytest -m benchmark tests/benchmarks/test_search_speed.py -s

Variables: NAS_SPEED_BUDGET (100), NAS_SPEED_SEEDS ("0,1,2"), NAS_SPEED_OUT (results/search_speed). What is there
already is not run again. About 20 minutes a seed on 2 idle cores.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas import results
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Evaluate, Job
from nas.evaluation.proxy_factory import ProxyFactory
from nas.optimization.pareto import pareto_mask
from nas.results.volume import dominated_volume
from nas.spec import ArchSpec
from search_spaces.efficientnet_v2_tiny import space

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
OUT = Path(os.environ.get("NAS_SPEED_OUT", ROOT / "results" / "search_speed"))
BUDGET = int(os.environ.get("NAS_SPEED_BUDGET", "100"))
SEEDS = [int(seed) for seed in os.environ.get("NAS_SPEED_SEEDS", "0,1,2").split(",")]
DATA = "fashion-hard"
JUDGE_FIDELITY = Fidelity(10_000, 2)
JUDGE_SEED = 90_001
DIRECTIONS = ("max", "min", "min")


def plain(seed: int) -> pd.DataFrame:
    path = OUT / f"plain-{seed}.csv"
    if not path.exists():
        command = [sys.executable, "-m", "tests.benchmarks.plain_search", DATA, str(BUDGET), str(seed), str(path)]
        subprocess.run(command, cwd=ROOT, check=True)
    return pd.read_csv(path)


def ours(seed: int) -> pd.DataFrame:
    path = OUT / f"ours-{seed}.csv"
    if not path.exists():
        run, began = OUT / "runs" / str(seed), pd.Timestamp.now("UTC")
        flags = ["--data", DATA, "--budget", str(BUDGET), "--seed", str(seed), "--out", str(run)]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "nas.search", *flags], cwd=ROOT, check=True)
        print(f"ours, seed {seed}: {time.perf_counter() - start:.0f} s in all")
        found = results.load(run)
        trials = found.trials.query("state == 'measured'").sort_values("ended_utc")
        frame = trials[["accuracy", "relative_step_time", "num_params"]].assign(
            ended_s=(trials["ended_utc"] - began).dt.total_seconds(),
            arch=[json.dumps(found.spec(number).to_dict()) for number in trials["number"]],
        )
        frame.to_csv(path, index=False)
    return pd.read_csv(path)


def fronts(frame: pd.DataFrame) -> list[list[int]]:
    """Return the rows of the front that the search shows after each row."""
    step = "relative_step_time" if "relative_step_time" in frame else "step_time_s"
    values = frame[["accuracy", step, "num_params"]].to_numpy(float)
    return [np.flatnonzero(pareto_mask(values[: end + 1], DIRECTIONS)).tolist() for end in range(len(values))]


_evaluate: Evaluate | None = None


def judge(arch: str) -> list[float]:
    global _evaluate
    if _evaluate is None:
        _evaluate = ProxyFactory(DATA, 32, None, JUDGE_SEED, space.reference, "cpu")()
    measured = _evaluate(Job(0, ArchSpec.from_dict(json.loads(arch)), JUDGE_FIDELITY, JUDGE_SEED))
    return [-measured.accuracy, np.log(measured.relative_step_time), np.log(measured.num_params)]


def judged(frames: dict[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """Return costs (lower is better) of every network that either side's front ever held, by its text."""
    path = OUT / f"judged-{seed}.csv"
    archs = {"plain": frames["plain"]["arch"].iloc[fronts(frames["plain"])[-1]].tolist()}
    archs["ours"] = frames["ours"]["arch"].iloc[sorted(set().union(*fronts(frames["ours"])))].tolist()
    wanted = list(dict.fromkeys(archs["plain"] + archs["ours"]))
    if not path.exists():
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            costs = pool.map(judge, wanted, chunksize=1)
        columns = ["neg_accuracy", "log_step_time", "log_params"]
        pd.DataFrame(costs, columns=columns).assign(arch=wanted).to_csv(path, index=False)
    return pd.read_csv(path).set_index("arch")


def compare(seed: int) -> dict[str, float]:
    frames = {"plain": plain(seed), "ours": ours(seed)}
    costs = judged(frames, seed)
    worst = costs.to_numpy().max(axis=0) + 1e-9

    def volume(side: str, rows: list[int]) -> float:
        return dominated_volume(costs.loc[frames[side]["arch"].iloc[rows]].to_numpy(), worst)

    target = volume("plain", fronts(frames["plain"])[-1])
    ours_volumes = [volume("ours", rows) for rows in fronts(frames["ours"])]
    reached = next((row for row, value in enumerate(ours_volumes) if value >= target), None)
    plain_s, ours_s = (float(frames[side]["ended_s"].iloc[-1]) for side in ("plain", "ours"))
    reached_s = np.inf if reached is None else float(frames["ours"]["ended_s"].iloc[reached])
    return {
        "seed": seed,
        "plain_s": plain_s,
        "ours_s": ours_s,
        "reached_s": reached_s,
        "speedup": plain_s / reached_s,
        "volume_ratio": ours_volumes[-1] / target,
        "front_plain": len(fronts(frames["plain"])[-1]),
        "front_ours": len(fronts(frames["ours"])[-1]),
    }


def test_ours_reaches_the_plain_ways_front_in_a_fifth_of_its_time():
    OUT.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame([compare(seed) for seed in SEEDS])
    table.to_csv(OUT / "summary.csv", index=False)
    print(f"\n{BUDGET} candidates on {DATA}\n{table.round(3).to_string(index=False)}")
    assert table["speedup"].median() >= 5
