"""`Measurement`: everything that was measured of one candidate, as plain data."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, get_args, get_origin

from nas.errors import invalid


@dataclass(frozen=True, slots=True)
class Rung:
    """How a candidate did when it had seen a share of its training images.

    Attributes:
        share: Of its training, above 0 and below 1.
        images_seen: Training images until then, repetitions counted.
        accuracy: Top-1 on a fixed part of the validation images, 0 to 1; higher is better. None where nobody validated.
        val_loss: Mean cross-entropy there; lower is better. None likewise.
        num_val_images: How many images both are of; 0 where nobody validated.
        train_loss: Mean training loss of the last steps before, a sixteenth of all steps; lower is better.
        train_s: Seconds of training until then, without rungs and pauses.
        rung_s: Seconds that it took to validate, without pauses; 0 where it was not.
    """

    share: float
    images_seen: int
    accuracy: float | None
    val_loss: float | None
    num_val_images: int
    train_loss: float
    train_s: float
    rung_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One candidate, measured. Field names are the columns of trials.csv; units end them.

    None says that something was not measured or, in journals of earlier runs, that nobody recorded it.

    Attributes:
        accuracy: Top-1 on the validation split, 0 to 1; higher is better.
        accuracy_stderr: Standard error of `accuracy` from the size of the validation split alone, to which tables of
            candidates add that of the seed; of one from a table of measured networks, from the spread of its trainings.
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
        fidelity: As `Fidelity` writes it, or how many trainings of which table it is the mean of.
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
        timing_source: "measured", "not measured", or for example "predicted on NVIDIA H100".
        timing_error_fraction: Standard error of a predicted time as a fraction of it; None for a measured one.
        val_loss: Mean cross-entropy on the validation split, without label smoothing; lower is better.
        signal_naswot: Training-free score, see `nas.evaluation.signals`; higher is better. None where it was not asked
            for or is not finite; likewise the others.
        signal_synflow: Likewise.
        signal_grad_norm: Likewise.
        signals_s: Of `wall_s`, seconds spent on them.
        num_attempts: Workers that began on it: 2 where the first died, hung or lost its device.
        images_seen: Training images seen, repetitions counted.
        stopped: Whether training was stopped at a rung. `accuracy` is that of the last rung then, and says less than
            one at the end of training, whose learning rate has fallen to zero.
        predicted_accuracy: What accuracy a stopped training was expected to end at; None where nothing was expected.
        rungs: How it did on the way, in the order of the rungs.
    """

    accuracy: float
    accuracy_stderr: float
    train_loss: float | None = None
    step_time_s: float | None = None
    step_time_spread_s: float | None = None
    relative_step_time: float | None = None
    relative_step_time_spread: float | None = None
    step_batch_size: int | None = None
    step_image_size: int | None = None
    num_params: int
    relative_params: float
    num_macs: int
    peak_memory_bytes: int | None = None
    fidelity: str
    seed: int | None = None
    device: str | None = None
    device_name: str | None = None
    dtype: str | None = None
    torch_version: str | None = None
    train_s: float = 0.0
    timing_s: float = 0.0
    wall_s: float = 0.0
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
    val_loss: float | None = None
    signal_naswot: float | None = None
    signal_synflow: float | None = None
    signal_grad_norm: float | None = None
    signals_s: float | None = None
    num_attempts: int | None = None
    images_seen: int | None = None
    stopped: bool = False
    predicted_accuracy: float | None = None
    rungs: tuple[Rung, ...] = ()

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
        rungs = plain.get("rungs", ())
        if not isinstance(rungs, list | tuple) or not all(_is_rung(rung) for rung in rungs):
            raise invalid("rungs of a measurement", "a list of rungs", rungs, "It was edited.")
        values = {**plain, "rungs": tuple(Rung(**rung) for rung in rungs)}
        for name, value in values.items():
            if not isinstance(value, _TYPES[name]) or (isinstance(value, bool) and bool not in _TYPES[name]):
                rule = f"of type {_TYPES[name][0].__name__}"
                raise invalid(f"{name} of a measurement", rule, value, "It was edited.")
        return cls(**values)


def _types(annotation: Any) -> tuple[type, ...]:
    if get_origin(annotation) is tuple:
        return (tuple,)
    types = get_args(annotation) or (annotation,)
    return (*types, int) if float in types else types  # JSON may write 1.0 as 1.


_TYPES = {f.name: _types(f.type) for f in fields(Measurement)}
_RUNG_TYPES = {f.name: _types(f.type) for f in fields(Rung)}


def _is_rung(plain: object) -> bool:
    return (
        isinstance(plain, dict)
        and set(plain) == set(_RUNG_TYPES)
        and all(isinstance(value, _RUNG_TYPES[name]) for name, value in plain.items())
    )


SIGNAL_NAMES = tuple(f.name.removeprefix("signal_") for f in fields(Measurement) if f.name.startswith("signal_"))
"""The training-free scores that there are."""
