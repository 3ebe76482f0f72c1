"""A training without timing, asked for and answered, as plain data. No torch."""

from dataclasses import dataclass

from nas.evaluation.job import Job
from nas.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob(Job):
    """A network to train and validate; `number` says which of the trainings it is.

    Attributes:
        recipe: How to train.
    """

    recipe: Recipe


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Attributes:
    accuracy: Top-1 on the validation split, 0 to 1; higher is better.
    val_loss: Mean cross-entropy there, without label smoothing; lower is better.
    num_val_images: How many images both are of.
    train_cpu_s: Processor seconds of the process in training and validation. On an accelerator they say little.
    wall_s: Seconds on the clock, without waits for timings of other processes.
    """

    accuracy: float
    val_loss: float
    num_val_images: int
    train_cpu_s: float
    wall_s: float
