"""A search in a process of its own, to be killed and resumed.

Prints its end as JSON: python -m tests.execution.driver FOLDER BUDGET WORKERS SLEEP_S [GRACE_S [FAULT]]

Without workers it evaluates in its own process. FAULT is what marked networks meet: see `Analytic`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from nas.execution import Executor, InProcessExecutor, WorkerPool, worker_environments
from nas.execution.signals import GRACE_S
from tests.execution.support import Analytic, open_study, search


def main() -> None:
    folder, budget, workers, sleep_s = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    grace_s = float(sys.argv[5]) if len(sys.argv) > 5 else GRACE_S
    fault = sys.argv[6] if len(sys.argv) > 6 else ""
    factory = Analytic(folder / "log", sleep_s, fault)
    pool: Executor = InProcessExecutor(factory)
    if workers:
        environments = worker_environments("cpu", workers)
        timeout_s = 0.5 if fault == "hang" else None
        memory_bytes = 2**29 if fault == "take memory" else None
        pool = WorkerPool(factory, environments, timeout_s=timeout_s, memory_bytes=memory_bytes)
    with pool:
        found = search(open_study(folder / "journal"), pool, budget=budget, grace_s=grace_s, noise_repeats=3)
        print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
