"""`Job`: what is asked of an evaluator. Spec, fidelity and seed in, a `Measurement` out."""

from collections.abc import Callable
from dataclasses import dataclass

from nas.evaluation.fidelity import Fidelity
from nas.evaluation.measurement import Measurement
from nas.spec import ArchSpec


@dataclass(frozen=True, slots=True)
class Job:
    """Attributes:
    number: The trial's number in its study.
    spec: The candidate.
    fidelity: How much training it gets.
    seed: Of initialisation, data order and augmentation.
    """

    number: int
    spec: ArchSpec
    fidelity: Fidelity
    seed: int


Evaluate = Callable[[Job], Measurement]
EvaluatorFactory = Callable[[], Evaluate]
"""Builds an evaluator where it will run; picklable, so that it can be sent to a worker process."""
