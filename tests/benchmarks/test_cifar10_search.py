"""Does a search of 40 candidates on CIFAR-10 find better networks than chance?

Searches with the defaults, evaluates 20 random candidates of the same space in the same way, and then trains the
search's most accurate network and the random candidates' median again with fresh seeds, because the most accurate of
many is partly the luckiest.

    pytest -m benchmark tests/benchmarks/test_cifar10_search.py -s

Needs the CIFAR-10 parquet folder: the variable NAS_TEST_DATA names its parent, by default ../shared/data. Writes
results/cifar10/{search,random,again}.csv. About 10 minutes on 2 cores.
"""

import itertools
import multiprocessing
import os
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from nas.config import DEFAULT_FIDELITY, SearchSettings
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.proxy_factory import PROXY_RECIPE
from nas.evaluation.training_job import TrainingJob
from nas.evaluation.trainings import TrainingFactory
from nas.results.write import to_csv
from nas.search import search
from nas.spec import ArchSpec

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("NAS_TEST_DATA", ROOT.parent / "shared" / "data")) / "cifar10"
OUT = ROOT / "results" / "cifar10"
SEEDS = (101, 102, 103, 104, 105)


def train(job: tuple[str, ArchSpec, int]) -> dict[str, object]:
    role, spec, seed = job
    evaluate = TrainingFactory(str(DATA), image_size=32, val_images=None, data_seed=seed, device="cpu")()
    found = evaluate(TrainingJob(seed, spec, Fidelity.parse(DEFAULT_FIDELITY), seed, recipe=PROXY_RECIPE))
    return {"role": role, "arch_id": spec.arch_id, "seed": seed, "accuracy": found.accuracy}


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no CIFAR-10 parquet folder at {DATA}")
def test_the_front_beats_the_median_random_candidate(tmp_path: Path):
    OUT.mkdir(parents=True, exist_ok=True)
    runs = {}
    for name, options in (
        ("search", {"budget": 40}),
        ("random", {"budget": 20, "sampler": "random", "warm_start": False, "seed": 1}),
    ):
        settings = SearchSettings(data=str(DATA), out=tmp_path / name, **options)
        runs[name], _ = search(settings, Console())
        (OUT / f"{name}.csv").write_text(to_csv(runs[name].trials))
    best = runs["search"].pareto.sort_values("accuracy").iloc[-1]
    by_accuracy = runs["random"].trials.sort_values("accuracy")
    median = by_accuracy.iloc[len(by_accuracy) // 2]
    specs = {
        "front's best": runs["search"].spec(int(best["number"])),
        "median random": runs["random"].spec(int(median["number"])),
    }
    jobs = [(role, spec, seed) for (role, spec), seed in itertools.product(specs.items(), SEEDS)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        again = pd.DataFrame(pool.map(train, jobs, chunksize=1))
    again.to_csv(OUT / "again.csv", index=False)
    table = again.pivot(index="seed", columns="role", values="accuracy")
    margin = table["front's best"] - table["median random"]
    print(
        f"\nin the search: best {best['accuracy']:.2%} ± {best['accuracy_stderr']:.2%}, median of 20 random "
        f"{median['accuracy']:.2%}\nagain, {len(SEEDS)} seeds: {table.mean().map('{:.2%}'.format).to_dict()}, margin "
        f"{margin.mean():.2%} ± {margin.sem():.2%} (standard error over seeds)"
    )
    assert margin.mean() > 2 * margin.sem()
