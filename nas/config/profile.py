"""Settings of `nas.profile`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nas.errors import invalid

MIN_NETWORKS = 20
"""What is timed at least; errors by number of networks: results/step_predictor/README.md."""


@dataclass(frozen=True)
class ProfileSettings:
    """Time a few networks on a device and write a file that predicts the step times of others, for searches anywhere.

    After a Ctrl-C or a crash the same command goes on with the networks that are missing.

    Examples:
        python -m nas.profile --device cuda:0 --out devices/h100.json
        python -m nas.search --target-device devices/h100.json
    """

    out: Path
    """The file to write, for example devices/h100.json. Until it is complete, OUT.partial holds what was timed."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0."""
    space: str = "efficientnet_v2_tiny"
    """Search space of the networks that are timed: as in nas.search."""
    networks: int = 48
    """How many networks to time; more predict better."""
    batch_size: int = 64
    """Images in a step."""
    image_size: int | None = None
    """Pixels a side; by default each network's training size."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What convolutions compute in; auto as in training."""
    mode: Literal["eager", "compile", "cuda-graph"] = "eager"
    """A step is run as it is, compiled (torch.compile), or captured in a CUDA graph."""
    num_classes: int = 10
    """Classes of the data."""
    in_channels: int = 3
    """Channels of an image."""
    json: bool = False
    """Print results as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine could make right."""
        if self.networks < MIN_NETWORKS:
            raise invalid("networks", f"at least {MIN_NETWORKS}", self.networks, "Leave it out for the default.")
        if self.batch_size < 2:
            raise invalid("batch_size", "at least 2", self.batch_size, "BatchNorm needs two images.")
        if self.image_size is not None and self.image_size < 8:
            raise invalid("image_size", "at least 8", self.image_size, "Leave it out for the networks' own.")
        for name in ("num_classes", "in_channels"):
            if getattr(self, name) < 1:
                raise invalid(name, "at least 1", getattr(self, name), "Leave it out for the default.")
