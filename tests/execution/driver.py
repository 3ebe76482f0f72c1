"""A search in a process of its own, to be killed and resumed.

Prints its end as JSON: python -m tests.execution.driver FOLDER BUDGET WORKERS SLEEP_S
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from nas.execution import WorkerPool, worker_environments
from tests.execution.support import Analytic, open_study, search


def main() -> None:
    folder, budget, workers, sleep_s = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    factory = Analytic(folder / "log", sleep_s)
    with WorkerPool(factory, worker_environments("cpu", workers)) as pool:
        print(json.dumps(asdict(search(open_study(folder / "journal"), pool, budget=budget, noise_repeats=3))))


if __name__ == "__main__":
    main()
