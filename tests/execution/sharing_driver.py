"""One of several drivers of a study, in a process of its own, to be killed and started again.

Prints its end as JSON: python -m tests.execution.sharing_driver FOLDER URL BUDGET WORKERS SLEEP_S DRIVER_TIMEOUT_S
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import optuna

from nas.execution import InProcessExecutor, WorkerPool, worker_environments
from nas.execution.drivers import Membership
from nas.execution.sharing import Others
from nas.optimization.objectives import PARETO
from nas.optimization.storage.opening import open_storage
from tests.execution.support import Analytic, search


def main() -> None:
    folder, url, budget, workers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    sleep_s, timeout_s = float(sys.argv[5]), float(sys.argv[6])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    factory = Analytic(folder / "log", sleep_s)
    study = optuna.create_study(
        study_name="shared", storage=open_storage(url, 30), directions=list(PARETO.directions), load_if_exists=True
    )
    pool = WorkerPool(factory, worker_environments("cpu", workers)) if workers else InProcessExecutor(factory)
    with pool, Membership(study, timeout_s) as membership:
        others = Others(study, PARETO, membership)
        print(json.dumps(asdict(search(study, pool, budget=budget, others=others, noise_repeats=3))))


if __name__ == "__main__":
    main()
