"""Settings of `nas.train`."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

from nas.config.checks import check_seconds, check_seed, check_type, check_val_images
from nas.errors import did_you_mean, invalid

_OF_THE_CALL = frozenset({"out", "resume", "checkpoint_every", "device", "json", "config"})
"""Settings that do not change what is trained."""


@dataclass(frozen=True)
class TrainSettings:
    """Train a network and save its weights (safetensors) and a table of its progress (CSV).

    Examples:
        python -m nas.train --arch results/RUN/S.json --epochs 20
        python -m nas.train --arch efficientnet_v2_b0 --data path/to/images --image-size 128 --device cuda:0
    """

    arch: Annotated[str | None, tyro.conf.arg(metavar="FILE|NAME")] = None
    """Architecture: a JSON file from a search, or a published one such as efficientnet_v2_s. Needed unless resuming."""
    data: str = "fashion-hard"
    """Data set: as in nas.search."""
    epochs: int = 20
    """Passes over the training images."""
    image_size: int | None = None
    """Pixels a side; by default the architecture's training size."""
    batch_size: int = 64
    """Images in a step."""
    learning_rate: float = 0.003
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.05
    """Of convolutions and the classifier."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0."""
    seed: int = 0
    """Seed of initialisation, split, data order and augmentation."""
    val_images: int | None = None
    """As in nas.search."""
    out: Path | None = None
    """Folder for weights, architecture and metrics.csv, new or empty. By default results/ and a name from time,
    architecture and data."""
    patience: int | None = None
    """End after so many epochs without a better validation accuracy. By default never."""
    checkpoint_every: float = 60.0
    """Seconds of training that an interruption may cost."""
    resume: Path | None = None
    """Folder of a training that was interrupted: go on from its last checkpoint, with the settings that it has."""
    json: bool = False
    """Print results as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no data could make right."""
        if self.arch is None:
            raise invalid("arch", "given", None, "Name a file, or a published network such as efficientnet_v2_b0.")
        if self.resume is not None and self.out is not None:
            raise invalid("out", "left out with --resume", str(self.out), "A training goes on in its own folder.")
        if self.patience is not None and self.patience < 1:
            raise invalid("patience", "at least 1", self.patience, "Leave it out to train all epochs.")
        check_seconds("checkpoint_every", self.checkpoint_every)
        if self.epochs < 1:
            raise invalid("epochs", "at least 1", self.epochs, "Say how many passes over the images to make.")
        if self.batch_size < 2:
            raise invalid("batch_size", "at least 2", self.batch_size, "BatchNorm needs two images.")
        if not 0 < self.learning_rate < math.inf:
            raise invalid("learning_rate", "above 0 and finite", self.learning_rate, "Leave it out for the default.")
        if not 0 <= self.weight_decay < math.inf:
            raise invalid("weight_decay", "0 or more and finite", self.weight_decay, "Leave it out for the default.")
        check_seed(self.seed)
        check_val_images(self.val_images)
        if self.image_size is not None and self.image_size < 8:
            raise invalid("image_size", "at least 8", self.image_size, "Leave it out for the architecture's own.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types for the manifest, without those that do not change what is trained."""
        return {key: value for key, value in asdict(self).items() if key not in _OF_THE_CALL}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "TrainSettings":
        """Read what `to_dict` wrote; raise InvalidInputError for unknown keys and values of another type."""
        hints = {name: hint for name, hint in get_type_hints(cls).items() if name not in _OF_THE_CALL}
        for key, value in plain.items():
            if key not in hints:
                raise invalid("settings in the manifest", "those of a training", key, did_you_mean(key, hints))
            check_type(key, value, hints[key])
        return cls(**plain)
