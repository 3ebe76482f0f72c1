"""`Measurement`: everything that was measured of one candidate, as plain data."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from nas.errors import invalid


@dataclass(frozen=True, slots=True)
class Measurement:
    """One candidate, measured. Field names are the columns of trials.csv; units end them.

    Attributes:
        accuracy: Top-1 on the validation split, 0 to 1; higher is better.
        accuracy_stderr: Standard error of `accuracy` from the size of the validation split alone.
        train_loss: Mean training loss of the last tenth of the steps, lower is better.
        step_time_s: Median seconds of one training step (forward, loss, backward, optimizer); lower is better.
        step_time_spread_s: Interquartile range of the steps' seconds.
        relative_step_time: Median over blocks of the candidate's time / the reference's, timed in turn in one process.
        relative_step_time_spread: Interquartile range of those ratios.
        step_batch_size: Images in a timed step.
        step_image_size: Pixels a side of those images.
        num_params: Learnable parameters, with the data set's classes and channels.
        relative_params: `num_params` / the reference's.
        num_macs: Multiply-adds of one forward pass of one image at `step_image_size`.
        peak_memory_bytes: Most memory held while timing steps beyond what was held before; None where the platform
            does not tell.
        fidelity: As `Fidelity` writes it.
        seed: Seed of initialisation, data order and augmentation.
        device: Where it was trained, for example "cpu" or "cuda:0".
        device_name: Of the device that steps were timed on, for example "NVIDIA H100".
        dtype: What convolutions computed in, for example "float32".
        torch_version: For example "2.14.1".
        train_s: Seconds spent in proxy training and validation.
        timing_s: Seconds spent in timing steps.
        wall_s: Seconds spent on the candidate in all.
        paused_s: Of `wall_s`, seconds that counting, training and validation waited for timings of other processes.
        lease_wait_s: Of `wall_s`, seconds until steps could be timed alone.
        exclusive: Whether no other process of the toolkit worked on the device while steps were timed; None in records
            from before that was known.
        timing_device: Where steps were timed; None in records from before it could be another than `device`.
    """

    accuracy: float
    accuracy_stderr: float
    train_loss: float
    step_time_s: float
    step_time_spread_s: float
    relative_step_time: float
    relative_step_time_spread: float
    step_batch_size: int
    step_image_size: int
    num_params: int
    relative_params: float
    num_macs: int
    peak_memory_bytes: int | None
    fidelity: str
    seed: int
    device: str
    device_name: str
    dtype: str
    torch_version: str
    train_s: float
    timing_s: float
    wall_s: float
    paused_s: float = 0.0
    lease_wait_s: float = 0.0
    exclusive: bool | None = None
    timing_device: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Measurement":
        """Read what `to_dict` wrote, also before fields with a default were added.

        Raises:
            InvalidInputError: If it is from a version that differs in other fields.
        """
        known = {f.name for f in fields(cls)}
        required = {f.name for f in fields(cls) if f.default is MISSING}
        if not required <= set(plain) <= known:
            differing = sorted((required - set(plain)) | (set(plain) - known))
            raise invalid(
                "measurement", "one of this version", differing, "Read the run with the version in its manifest."
            )
        return cls(**plain)
