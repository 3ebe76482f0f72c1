"""What a timed step is: plain data, no torch."""

from dataclasses import dataclass
from typing import Literal, get_args

from nas.errors import did_you_mean, invalid

StepDtype = Literal["auto", "float32", "bfloat16", "float16"]
MemoryFormat = Literal["channels_last", "contiguous"]
StepMode = Literal["eager", "compile", "cuda-graph"]
StepKind = Literal["training", "inference"]

_CHOICES = {"dtype": StepDtype, "memory_format": MemoryFormat, "mode": StepMode, "kind": StepKind}
_MAX_IMAGE_SIZE = 8192


@dataclass(frozen=True, slots=True)
class StepSetup:
    """The step whose seconds are measured: that of the training which is wanted in the end, not that of the proxy.

    Attributes:
        batch_size: Images in a step.
        image_size: Pixels a side; None means each network's own training size.
        dtype: What convolutions compute in; "auto" is the training loop's choice for the device.
        memory_format: Of images and weights.
        mode: "eager", "compile" (torch.compile), or "cuda-graph" (the whole step captured once and replayed).
        kind: "training" is forward, loss, backward, optimizer and gradient reset; "inference" is forward alone.
    """

    batch_size: int = 64
    image_size: int | None = None
    dtype: StepDtype = "auto"
    memory_format: MemoryFormat = "channels_last"
    mode: StepMode = "eager"
    kind: StepKind = "training"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value, known = getattr(self, name), get_args(choices)
            if value not in known:
                raise invalid(f"step {name}", f"one of {', '.join(known)}", value, did_you_mean(value, known))
        if not _is_whole(self.batch_size) or self.batch_size < self.min_batch_size:
            rule = f"a whole number of at least {self.min_batch_size}"
            raise invalid("step batch_size", rule, self.batch_size, "BatchNorm needs two images in training.")
        if self.image_size is not None and not (_is_whole(self.image_size) and 8 <= self.image_size <= _MAX_IMAGE_SIZE):
            rule = f"a whole number from 8 to {_MAX_IMAGE_SIZE}"
            raise invalid("step image_size", rule, self.image_size, "Leave it out for each network's own size.")
        if (self.mode, self.dtype) == ("cuda-graph", "float16"):
            raise invalid("step dtype", "bfloat16 or float32 with cuda-graph", self.dtype, "Loss scaling reads back.")

    @property
    def min_batch_size(self) -> int:
        """The fewest images that the step can be done with."""
        return 2 if self.kind == "training" else 1


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
