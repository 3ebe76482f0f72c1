"""Where candidates are evaluated, in this process or in workers, and the loop that asks and tells. No torch."""

from nas.evaluation.job import Evaluate, EvaluatorFactory, Job
from nas.execution.executor import Executor, InProcessExecutor
from nas.execution.job import Failure, Outcome
from nas.execution.loop import search_loop
from nas.execution.recovery import recover
from nas.execution.workers import WorkerPool, reserve_timing_gpu, visible_gpus, worker_environments

__all__ = [
    "Evaluate",
    "EvaluatorFactory",
    "Executor",
    "Failure",
    "InProcessExecutor",
    "Job",
    "Outcome",
    "WorkerPool",
    "recover",
    "reserve_timing_gpu",
    "search_loop",
    "visible_gpus",
    "worker_environments",
]
