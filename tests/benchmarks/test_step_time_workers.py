"""Does a network's step time depend on what else a search does? One worker against two, on the same networks.

The twelve networks of the repeatability benchmark go through the workers of a search. With two of them, each trains
while the other times, but for the lease.

    pytest -m benchmark tests/benchmarks/test_step_time_workers.py -s

prints tables of all networks. About two minutes on 2 cores. A second run with one worker shows what the machine does by
itself.
"""

import pandas as pd
import pytest

from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job
from nas.evaluation.measurement import Measurement
from nas.evaluation.proxy_factory import ProxyFactory
from nas.execution import WorkerPool, worker_environments
from search_spaces.efficientnet_v2_tiny import space
from tests.benchmarks.test_step_time_repeatability import sampled

pytestmark = pytest.mark.benchmark

COLUMNS = ["step_time_s", "relative_step_time", "timing_s", "paused_s", "lease_wait_s", "wall_s"]


def timed(num_workers: int) -> pd.DataFrame:
    """Measure all networks; one row a network, in their order."""
    factory = ProxyFactory(
        data="fashion-hard",
        image_size=space.reference.train_image_size,
        val_images=1000,
        data_seed=0,
        reference=space.reference,
        device="cpu",
    )
    jobs = [Job(number, spec, Fidelity(2000, 1), seed=0) for number, spec in enumerate(sampled())]
    found: dict[int, Measurement] = {}
    with WorkerPool(factory, worker_environments("cpu", num_workers)) as pool:
        waiting = list(reversed(jobs))
        running = 0
        while waiting or running:
            while waiting and running < num_workers:
                pool.submit(waiting.pop())
                running += 1
            ended = pool.next_outcome(60.0)
            assert ended is not None
            job, outcome = ended
            assert isinstance(outcome, Measurement), outcome
            assert outcome.exclusive
            found[job.number] = outcome
            running -= 1
    return pd.DataFrame([found[number].to_dict() for number in sorted(found)])[COLUMNS]


def compare(first: pd.DataFrame, second: pd.DataFrame, what: str) -> dict[str, tuple[float, float]]:
    """Print the two side by side; return median ratio and Kendall tau of each kind of step time."""
    table = pd.concat([first.add_suffix("_1"), second.add_suffix("_2")], axis="columns")
    print(f"\n{what}\n{table.T.to_string(float_format='%.4f')}")
    found = {}
    for name in ("step_time_s", "relative_step_time"):
        one, two = table[f"{name}_1"], table[f"{name}_2"]
        ratio, tau = (two / one).median(), one.corr(two, method="kendall")
        print(f"{name}: median ratio {ratio:.4f}, worst {(two / one - 1).abs().max():.4f} off, Kendall tau {tau:.3f}")
        found[name] = ratio, tau
    return found


def test_two_workers_measure_the_step_times_of_one() -> None:
    one, two, again = timed(1), timed(2), timed(1)
    compare(one, again, "one worker, one worker again: what the machine does by itself")
    found = compare(one, two, "one worker, two workers")
    assert all(abs(ratio - 1) <= 0.03 for ratio, _ in found.values())
    # What a search compares. Seconds go with the clock of the processor, which both runs of one worker show as well.
    assert found["relative_step_time"][1] >= 0.95
