"""Settings of `nas.evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nas.config.checks import check_seed, check_val_images
from nas.errors import invalid
from nas.spec import MAX_IMAGE_SIZE


@dataclass(frozen=True)
class EvaluateSettings:
    """Measure how good weights of nas.train are on labelled images, class by class.

    Images are prepared and normalised as the weights say, and the network is used as it was saved: nothing in it is
    estimated again. --image-size may be larger than in training, as EfficientNetV2 is evaluated.

    Examples:
        python -m nas.evaluate --weights results/TRAINING/weights.safetensors --data path/to/images
        python -m nas.evaluate --weights results/TRAINING/best.safetensors --data cifar10 --image-size 40 --out out
    """

    weights: Path
    """Weights of nas.train: weights.safetensors or best.safetensors of its folder."""
    data: str
    """Data set: as in nas.search. Its classes must be those of the weights, in any order."""
    split: Literal["test", "validation", "all"] | None = None
    """Which images. validation: those that nas.train holds out with the same --seed and --val-images. all: every image,
    of data that was not trained on. By default test where the data have that split, else validation."""
    image_size: int | None = None
    """Pixels a side; by default those of the training."""
    batch_size: int = 64
    """Images that are classified at once."""
    seed: int = 0
    """Seed of the split, as in the training."""
    val_images: int | None = None
    """As in the training."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0."""
    out: Path | None = None
    """Folder for classes.csv and confusion.csv, new or empty; by default nothing is written."""
    json: bool = False
    """Print results as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no data could make right."""
        if self.image_size is not None and not 8 <= self.image_size <= MAX_IMAGE_SIZE:
            rule = f"from 8 to {MAX_IMAGE_SIZE}"
            raise invalid("image_size", rule, self.image_size, "Leave it out for that of the training.")
        if self.batch_size < 1:
            raise invalid("batch_size", "at least 1", self.batch_size, "Leave it out for the default.")
        if self.val_images is not None and self.split in ("test", "all"):
            todo = "It says how large the validation split is."
            raise invalid("val_images", f"left out with --split {self.split}", self.val_images, todo)
        check_seed(self.seed)
        check_val_images(self.val_images)
