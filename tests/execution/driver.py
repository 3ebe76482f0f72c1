"""A search in a process of its own, to be killed and resumed.

Prints its end as JSON: python -m tests.execution.driver FOLDER BUDGET WORKERS SLEEP_S [GRACE_S]; 0 workers are none.
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
    factory = Analytic(folder / "log", sleep_s)
    pool: Executor = WorkerPool(factory, worker_environments("cpu", workers)) if workers else InProcessExecutor(factory)
    with pool:
        print(json.dumps(asdict(search(open_study(folder / "journal"), pool, budget=budget, grace_s=grace_s))))


if __name__ == "__main__":
    main()
