"""Settings of `nas.export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nas.errors import invalid
from nas.spec import MAX_IMAGE_SIZE


@dataclass(frozen=True)
class ExportSettings:
    """Write a network, found or published, for another tool.

    Programs are checked against the network before they are kept. Without --out, text is printed.

    Examples:
        python -m nas.export results/RUN/S.json --to markdown
        python -m nas.export results/RUN/S.json --to onnx --weights TRAINED/weights.safetensors --out S.onnx
        python -m nas.export efficientnet_v2_b0 --to python --num-classes 10 --out b0.py
    """

    arch: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE|NAME")]
    """Architecture: a JSON file from a search, or a published one such as efficientnet_v2_s."""
    to: Annotated[str, tyro.conf.arg(metavar="{onnx,torch-export,timm,torchvision,automl,python,json,markdown}")]
    """onnx and torch-export: programs with the weights inside. timm, torchvision and python: a file whose create()
    builds the network with timm, torchvision or torch alone. automl: block strings of google/automl. json: what every
    verb reads. markdown: a table of stages and their cost."""
    weights: Path | None = None
    """Weights of nas.train, or a safetensors or torch file of torchvision's or timm's. Those for timm, torchvision and
    python are written beside the file, as .safetensors."""
    out: Path | None = None
    """File to write, which must not be there yet."""
    num_classes: int | None = None
    """Outputs of the classifier; by default those of the weights, else 1000."""
    in_channels: int | None = None
    """Channels of an image; by default those of the weights, else 3."""
    image_size: int | None = None
    """Pixels a side; by default that of the weights, else the size the architecture is validated at."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no file could make right."""
        for name in ("num_classes", "in_channels", "image_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise invalid(name, "at least 1", value, "Leave it out for the default.")
        if self.image_size is not None and self.image_size > MAX_IMAGE_SIZE:
            raise invalid("image_size", f"at most {MAX_IMAGE_SIZE}", self.image_size, "Give a smaller one.")
