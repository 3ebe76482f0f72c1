"""What is asked of an evaluator: spec, fidelity and seed in, a `Measurement` out."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nas.evaluation.fidelity import Fidelity
from nas.evaluation.measurement import Measurement
from nas.spec import ArchSpec


class StopRule(Protocol):
    """Whether a candidate's training goes on. Plain data, made when the job is, that decides alone."""

    @property
    def rungs(self) -> tuple[float, ...]:
        """Where it is asked: shares of the training, above 0 and below 1, ascending."""

    @property
    def validates(self) -> bool:
        """Whether a rung is to be validated before it is asked; else it must do with the training loss, for nothing."""

    def predict(self, measurement: Measurement) -> float | None:
        """Return the accuracy that training is expected to end at, 0 to 1; None while too little is known."""

    def stops(self, measurement: Measurement) -> bool:
        """Return whether to stop, given all that is known at a rung; `measurement.rungs` ends with that rung."""


@dataclass(frozen=True, slots=True)
class Job:
    """One candidate to evaluate. It travels to workers as a pickle.

    Attributes:
        number: Of the trial.
        spec: The network.
        fidelity: How much training it gets.
        seed: Of initialisation, data order and augmentation.
        repeat: 0 for a candidate's evaluation; 1, 2 and so on where a measured candidate is trained again with another
            seed, to learn how large the noise is.
        from_scratch: Leave alone what an earlier attempt has kept of its training: it may be what that one hung on.
        stop_rule: What may end training before that; None trains to the end.
    """

    number: int
    spec: ArchSpec
    fidelity: Fidelity
    seed: int
    repeat: int = 0
    from_scratch: bool = False
    stop_rule: StopRule | None = None


Evaluate = Callable[[Job], Measurement]
EvaluatorFactory = Callable[[], Evaluate]
"""Builds an `Evaluate` where it will run: loads the data, builds the reference model. It must pickle, so it is a
function of a module or an instance of a class of one. It raises InvalidInputError for what the user must correct."""


def job_seed(study_seed: int, fidelity: Fidelity, arch_id: str = "", *, repeat: int = 0) -> int:
    """Return a seed for a job, 0 to 2**31 - 1, independent of trial number and worker.

    Args:
        study_seed: The search's seed.
        fidelity: Of the job.
        arch_id: Of the candidate; leave it empty for common random numbers, where all candidates see the same data in
            the same order and differences between them have less noise.
        repeat: Of the job.
    """
    again = f"|{repeat}" if repeat else ""
    digest = hashlib.sha256(f"{study_seed}|{fidelity}|{arch_id}{again}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
