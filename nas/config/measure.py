"""Settings of `nas.measure`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from nas.errors import invalid


@dataclass(frozen=True)
class MeasureSettings:
    """Measure training step time, parameters, multiply-adds and memory of networks. Needs no data and trains nothing.

    Steps of each network are timed in turn with steps of the first one, until the ratio is known to 2%. That ratio is
    what to compare: clocks, heat and neighbours change both alike.

    Examples:
        python -m nas.measure efficientnet_v2_b0 efficientnet_v2_s torchvision:resnet50 --image-size 128
        python -m nas.measure results/RUN/S.json results/RUN/M.json --batch-size 64 --csv steps.csv
        python -m nas.measure efficientnet_v2_s --device cuda:0 --mode compile
    """

    archs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="ARCH [ARCH ...]")]
    """JSON files of a search, published networks such as efficientnet_v2_s, torchvision:NAME, or timm:NAME where timm
    is installed."""
    batch_size: int = 16
    """Images in a step; halved as often as it takes to fit into memory."""
    image_size: int | None = None
    """Pixels a side; by default each network's own training size."""
    num_classes: int = 1000
    """Outputs of the classifier."""
    in_channels: int = 3
    """Channels of an image."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0."""
    threads: int = 1
    """CPU threads; a search's workers have one."""
    mode: Literal["eager", "compile", "cuda-graph"] = "eager"
    """eager, compile (torch.compile), or cuda-graph (a captured step, replayed)."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What convolutions compute in; auto is float32 on a CPU and mixed precision on an accelerator."""
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    """Of images and weights."""
    inference: bool = False
    """Time forward passes in evaluation mode instead of training steps."""
    csv: Path | None = None
    """Write the table to this file as CSV."""
    json: bool = False
    """Print results as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine could make right."""
        if not self.archs:
            raise invalid("ARCH", "at least one network", "none", "Name one, for example efficientnet_v2_s.")
        for name, value in (("num_classes", self.num_classes), ("in_channels", self.in_channels)):
            if value < 1:
                raise invalid(name, "at least 1", value, "Leave it out for the default.")
        if not 1 <= self.threads <= 1024:
            raise invalid("threads", "from 1 to 1024", self.threads, "Leave it out for one.")
        if self.csv is not None and (self.csv.is_dir() or not self.csv.absolute().parent.is_dir()):
            raise invalid("csv", "a file in a folder that exists", str(self.csv), "Make the folder first.")
