"""What `search_loop` tells displays and files while it runs. `number` is always a trial's."""

from dataclasses import dataclass

from nas.evaluation.measurement import Measurement
from nas.spec import ArchSpec


@dataclass(frozen=True, slots=True)
class Started:
    """A candidate was given to the executor."""

    number: int
    spec: ArchSpec
    origin: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate was measured and told; `reward` is the paper's, higher is better, whatever the objective."""

    number: int
    spec: ArchSpec
    measurement: Measurement
    reward: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """A candidate's training was stopped early, which was told; `measurement` is what is known of it."""

    number: int
    spec: ArchSpec
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Failed:
    """A candidate's evaluation failed, which was told."""

    number: int
    spec: ArchSpec
    reason: str


Candidate = Measured | Stopped | Failed
"""How the evaluation of a candidate ends."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A candidate has ended at another driver of the study."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Opened:
    """The loop begins. `past` are the candidates that the study already holds."""

    budget: int
    past: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """A trial equal to candidate `original` was told that one's result; free."""

    number: int
    original: int


@dataclass(frozen=True, slots=True)
class Outside:
    """A trial outside the space's bounds by `excess`, or kept out by the prefilter, was told so; free."""

    number: int
    excess: float


@dataclass(frozen=True, slots=True)
class Retraining:
    """Measured candidate `number` was given to the executor again with another seed, repeat `repeat` of `num_repeats`;
    free.
    """

    number: int
    spec: ArchSpec
    repeat: int
    num_repeats: int


@dataclass(frozen=True, slots=True)
class Retrained:
    """Such a repeat ended and was kept; `measurement` is None where it failed."""

    number: int
    repeat: int
    num_repeats: int
    measurement: Measurement | None


@dataclass(frozen=True, slots=True)
class Stopping:
    """A signal asked for an end; what is running is awaited."""

    num_running: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The loop ended.

    Attributes:
        num_candidates: Evaluated in all, measured, stopped and failed.
        interrupted: By a signal; the study can be resumed.
        exhausted: Below the budget, because no network of the space is left that was not evaluated.
    """

    num_candidates: int
    interrupted: bool
    exhausted: bool


Event = Opened | Elsewhere | Started | Candidate | Repeated | Outside | Retraining | Retrained | Stopping | Finished
