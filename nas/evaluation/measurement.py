"""`Measurement`: everything that was measured of one candidate, as plain data."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from nas.errors import invalid


@dataclass(frozen=True, slots=True)
class Measurement:
    """One candidate, measured. Field names are the columns of trials.csv; units end them.

    Fields with a default came later: journals of earlier runs lack them, and None says that nobody recorded it.

    Attributes:
        accuracy: Top-1 on the validation split, 0 to 1; higher is better.
        accuracy_stderr: Standard error of `accuracy` from the size of the validation split alone.
        train_loss: Mean training loss of the last tenth of the steps, lower is better.
        step_time_s: Median over blocks of the seconds of a step (forward, loss, backward, optimizer); lower is better.
        step_time_spread_s: Interquartile range over blocks.
        relative_step_time: Median over blocks of the candidate's time / the reference's, timed in turn in one process.
        relative_step_time_spread: Interquartile range of those ratios.
        step_batch_size: Images in a timed step; fewer than were asked for where `step_batch_reduced`.
        step_image_size: Pixels a side of those images.
        num_params: Learnable parameters, with the data set's classes and channels.
        relative_params: `num_params` / the reference's.
        num_macs: Multiply-adds of one forward pass of one image at `step_image_size`.
        peak_memory_bytes: Most memory held while timing steps beyond what was held before; None where the platform
            does not tell.
        fidelity: As `Fidelity` writes it.
        seed: Seed of initialisation, data order and augmentation.
        device: Where it was trained, for example "cpu" or "cuda:0".
        device_name: Of that hardware, for example "NVIDIA H100".
        dtype: What convolutions computed in, for example "float32".
        torch_version: For example "2.14.1".
        train_s: Seconds spent in proxy training and validation.
        timing_s: Seconds spent in timing steps.
        wall_s: Seconds spent on the candidate in all.
        step_time_low_s: Lower end of the 95% bootstrap interval, over blocks, of the median `step_time_s`.
        step_time_high_s: Upper end.
        relative_step_time_low: Lower end of the 95% bootstrap interval of `relative_step_time`.
        relative_step_time_high: Upper end.
        step_time_per_image_s: `step_time_s` / `step_batch_size`.
        num_timing_blocks: Blocks of steps of each of the two networks.
        timing_target_met: Whether the interval of `relative_step_time` became as narrow as was asked for.
        step_batch_reduced: Whether the batch that was asked for did not fit into memory.
        step_dtype: What convolutions of a timed step computed in.
        step_memory_format: Of images and weights in a timed step, "channels_last" or "contiguous".
        step_mode: "eager", "compile" or "cuda-graph".
        step_kind: "training" or "inference".
        compile_s: Seconds that compiling or capturing took, outside the timed steps; 0 in eager mode.
        timing_device: Where steps were timed; None where they are predicted.
        timing_device_name: Of the hardware that steps were timed on, or are predicted for.
        exclusive: Whether no other process of the toolkit worked on the device while steps were timed.
        lease_wait_s: Of `wall_s`, seconds until steps could be timed alone.
        paused_s: Of `wall_s`, seconds that counting, training and validation waited for timings of other processes.
        num_timings: How many times it was timed: twice where the first time was not what others let expect, 0 where
            the timing was kept from before or is predicted.
        timing_source: "measured", or for example "predicted on NVIDIA H100".
        timing_error_fraction: Standard error of a predicted time as a fraction of it; None for a measured one.
        num_attempts: Workers that began on it: 2 where the first died, hung or lost its device.
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
    step_time_low_s: float | None = None
    step_time_high_s: float | None = None
    relative_step_time_low: float | None = None
    relative_step_time_high: float | None = None
    step_time_per_image_s: float | None = None
    num_timing_blocks: int | None = None
    timing_target_met: bool | None = None
    step_batch_reduced: bool | None = None
    step_dtype: str | None = None
    step_memory_format: str | None = None
    step_mode: str | None = None
    step_kind: str | None = None
    compile_s: float | None = None
    timing_device: str | None = None
    timing_device_name: str | None = None
    exclusive: bool | None = None
    lease_wait_s: float | None = None
    paused_s: float | None = None
    num_timings: int | None = None
    timing_source: str = "measured"
    timing_error_fraction: float | None = None
    num_attempts: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Measurement":
        """Read what `to_dict` wrote, now or earlier; raise InvalidInputError where it is from another version."""
        known = {f.name for f in fields(cls)}
        required = {f.name for f in fields(cls) if f.default is MISSING}
        differing = sorted((required - set(plain)) | (set(plain) - known))
        if differing:
            raise invalid(
                "measurement", "one of this version", differing, "Read the run with the version in its manifest."
            )
        return cls(**plain)
