"""Settings of `nas.predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nas.errors import invalid


@dataclass(frozen=True)
class PredictSettings:
    """Classify images with a network that nas.train has trained, as a table (CSV).

    Images are prepared as in training. One that cannot be used is a row with its error, and the others go on.

    Examples:
        python -m nas.predict results/RUN/weights.safetensors path/to/images --out scores.csv
        python -m nas.predict results/RUN/weights.safetensors photo.jpg --top 3
    """

    weights: Annotated[Path, tyro.conf.Positional]
    """Weights of nas.train: weights.safetensors or best.safetensors of its folder."""
    path: Annotated[Path, tyro.conf.Positional]
    """An image; a folder of images, at any depth; a parquet file in Hugging Face's form, or a folder of them."""
    out: Path | None = None
    """File for the table, which must not be there yet; by default it is printed."""
    top: int | None = None
    """Give this many of the likeliest classes with their probabilities; by default the likeliest one, and a column for
    the score of each class."""
    batch_size: int = 64
    """Images that are classified at once."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0."""
    json: bool = False
    """Print results as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no file could make right."""
        for name in ("top", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise invalid(name, "at least 1", value, "Leave it out for the default.")
