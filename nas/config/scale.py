"""Settings of `nas.scale`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nas.errors import invalid


@dataclass(frozen=True)
class ScaleSettings:
    """Scale a network to larger sizes, or to the largest that a limit allows, and write them as JSON.

    Examples:
        python -m nas.scale results/RUN/S.json --sizes S M L XL
        python -m nas.scale results/RUN/S.json --max-step-time 2 --device cuda:0 --num-classes 10
        python -m nas.scale efficientnet_v2_s --max-params 50e6
    """

    arch: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE|NAME")]
    """Architecture to scale, S: a JSON file from a search, or a published one such as efficientnet_v2_s."""
    sizes: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="{S,M,L,XL} ...")] = None
    """Sizes by the rule of the published family. By default S, M and L, unless a limit is given."""
    max_params: float | None = None
    """At most so many parameters; of the limits give one."""
    max_macs: float | None = None
    """At most so many multiply-adds of one image of the validation size."""
    max_step_time: float | None = None
    """At most so many times the step time of the architecture, measured on the device at the training size."""
    measure: bool = False
    """Measure the step time of every network."""
    num_classes: int = 1000
    """Outputs of the classifier."""
    in_channels: int = 3
    """Channels of an image: 1 for grey, 3 for colour."""
    device: str = "auto"
    """Where step time is measured: auto, cpu, or an accelerator such as cuda:0."""
    batch_size: int = 64
    """Images in a timed step."""
    image_size: int | None = None
    """Pixels a side of the architecture in training and at validation; by default its own."""
    out: Path | None = None
    """Folder for the JSON files and a table, new or empty. By default results/ and a name from time and
    architecture."""
    json: bool = False
    """Print results as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine could make right."""
        flags = {"max_params": self.max_params, "max_macs": self.max_macs, "max_step_time": self.max_step_time}
        given = [name for name, value in {"sizes": self.sizes, **flags}.items() if value is not None]
        if len(given) > 1:
            raise invalid(" and ".join(given), "given one at a time", "both", "Leave out all but one.")
        for name, value in flags.items():
            if value is not None and not 0 < value < math.inf:
                raise invalid(name, "above 0 and finite", value, "Correct the value.")
        if self.max_step_time is not None and self.max_step_time <= 1:
            todo = "It is relative to the architecture's own: give 2 for twice that."
            raise invalid("max_step_time", "above 1", self.max_step_time, todo)
        for name, value, least in (
            ("num_classes", self.num_classes, 1),
            ("in_channels", self.in_channels, 1),
            ("batch_size", self.batch_size, 2),
            ("image_size", self.image_size, 8),
        ):
            if value is not None and value < least:
                raise invalid(name, f"at least {least}", value, "Leave it out for the default.")
