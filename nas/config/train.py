"""Settings of `nas.train`."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from nas.config.checks import check_kept, check_seconds, check_seed, check_val_images, parse_range
from nas.errors import did_you_mean, invalid
from nas.training.recipe import RECIPES, Decay
from nas.training.schedule import PRESETS

_OF_THE_CALL = frozenset(
    {"out", "resume", "plan", "tensorboard", "checkpoint_every", "device", "num_workers", "json", "config"}
)
"""Settings that do not change what is trained."""

_PATHS = ("weights",)

RECIPE_NAMES = ("default", *RECIPES)
PUBLISHED_SCHEDULES = (*PRESETS["paper"], *(f"code:{name}" for name in PRESETS["code"]))
RANGES = {
    "randaugment": "randaugment_magnitude",
    "mixup": "mixup_alpha",
    "cutmix": "cutmix_alpha",
    "dropout": "dropout",
    "stochastic_depth": "stochastic_depth",
    "random_erasing": "random_erasing",
}
"""Settings that are a range, and what a stage calls them."""


@dataclass(frozen=True)
class TrainSettings:
    """Train a network and save its weights (safetensors) and a table of its progress (CSV).

    Images can grow while it is trained, and regularisation with them (--schedule progressive), which takes less time.
    --plan shows the stages and what they cost.

    Examples:
        python -m nas.train --arch results/RUN/S.json --epochs 20
        python -m nas.train --arch results/RUN/S.json --schedule progressive --randaugment 5:15 --dropout 0.1:0.3
        python -m nas.train --arch efficientnet_v2_b0 --data path/to/images --image-size 128 --device cuda:0
        python -m nas.train --arch results/RUN/S.json --weights results/TRAINING/best.safetensors --data path/to/images
        python -m nas.train --resume results/TRAINING
    """

    arch: Annotated[str | None, tyro.conf.arg(metavar="FILE|NAME")] = None
    """Architecture: a JSON file from a search, or a published one such as efficientnet_v2_s. Needed unless resuming."""
    data: str = "fashion-hard"
    """Data set: as in nas.search."""
    weights: Path | None = None
    """Weights of this architecture to start from: a file of nas.train, torchvision or timm. For other classes than its
    own the classifier starts anew. By default from scratch."""
    epochs: int = 20
    """Passes over the training images."""
    image_size: int | None = None
    """Pixels a side, in the last stage if there are several; by default the architecture's training size."""
    schedule: str = "fixed"
    """How image size and regularisation go. fixed: the same all along. progressive: both grow from stage to stage.
    random-resize: a size drawn for each stage. Or a published one: s, m, l (the paper's), code:s, code:m, code:l,
    code:b0 to code:b3 (the released code's)."""
    stages: int = 4
    """Stages of progressive and random-resize."""
    first_image_size: int | None = None
    """Pixels a side in the first stage, or the smallest; by default 128/300 of the last, as published for S."""
    randaugment: str | None = None
    """RandAugment's magnitude, FIRST:LAST or one number; 10 is the end of its scale, which may be exceeded."""
    mixup: str | None = None
    """MixUp's alpha, FIRST:LAST or one number."""
    cutmix: str | None = None
    """CutMix's alpha, FIRST:LAST or one number."""
    dropout: str | None = None
    """Dropout before the classifier, FIRST:LAST or one number; by default the architecture's."""
    stochastic_depth: str | None = None
    """Probability that the last block is dropped, FIRST:LAST or one number; by default the architecture's."""
    random_erasing: str | None = None
    """Probability that a part of an image is erased, FIRST:LAST or one number."""
    crop_area: float | None = None
    """Least share of an image that a random crop keeps, for photographs 0.08 to 0.25; by default small shifts."""
    recipe: str = "default"
    """Optimizer, learning rate and so on. default: AdamW, for small data. Or a published one, with its learning rate in
    proportion to the batch: efficientnet_v2, fine_tune, fine_tune_paper, torchvision."""
    batch_size: int = 64
    """Images in a step."""
    max_batch_size: int | None = None
    """Let batches of small images grow up to this, with the learning rate. By default all have --batch-size."""
    learning_rate: float | None = None
    """Peak learning rate, at --batch-size; by default the recipe's, 0.003 for AdamW."""
    decay: Decay | None = None
    """How the learning rate falls after its warm-up. trapezoid: along a line in the last 30% of the training only. By
    default as the recipe has it; with the default one along a cosine, or, where images grow, a trapezoid."""
    weight_decay: float | None = None
    """Of convolutions and the classifier; by default the recipe's, 0.05 for AdamW."""
    ema: float | None = None
    """Decay of an average of the weights, which is what is validated and saved; for example 0.999. By default the
    recipe's, and none for the default one."""
    accumulate: int = 1
    """Parts in which a batch is computed, to save memory."""
    clip_grad_norm: float | None = None
    """Largest norm of the gradient. By default any."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What convolutions compute in while training; weights are float32. auto: bfloat16 on a GPU that has it, else
    float16; float32 on the CPU. With float16 the loss is scaled. Validation is always as with auto."""
    compile: bool = False
    """Compile the network (torch.compile), which takes minutes, anew for each stage, and makes steps faster."""
    patience: int | None = None
    """End after so many epochs without a better validation accuracy. By default never."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0."""
    seed: int = 0
    """Seed of initialisation, split, data order and augmentation."""
    val_images: int | None = None
    """As in nas.search."""
    loader: Literal["auto", "memory", "stream"] = "auto"
    """Where images are. memory: decoded once and held; a subset of a set that does not fit. stream: on disk, decoded
    while it trains. auto: stream a set that would take more than 4 GiB decoded."""
    num_workers: int | None = None
    """Processes that decode streamed images; 0 for none but the one that trains. By default one less than cores."""
    out: Path | None = None
    """Folder for weights, architecture and metrics.csv, new or empty. By default results/ and a name from time,
    architecture and data."""
    resume: Path | None = None
    """Folder of a training that was interrupted: go on from its last checkpoint, with the settings that it has."""
    checkpoint_every: float = 60.0
    """Seconds of training that an interruption may cost."""
    tensorboard: bool = False
    """Write the numbers of every epoch for TensorBoard as well, in the folder's tensorboard/."""
    plan: bool = False
    """Only show the stages, their steps and what they cost."""
    json: bool = False
    """Print results as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no data could make right."""
        if self.arch is None and self.resume is None:
            raise invalid("arch", "given", None, "Name a file, or a published network such as efficientnet_v2_b0.")
        if self.resume is not None and self.out is not None:
            raise invalid("out", "left out with --resume", str(self.out), "A training goes on in its own folder.")
        if self.epochs < 1:
            raise invalid("epochs", "at least 1", self.epochs, "Say how many passes over the images to make.")
        if self.patience is not None and self.patience < 1:
            raise invalid("patience", "at least 1", self.patience, "Leave it out to train all epochs.")
        if self.recipe not in RECIPE_NAMES:
            raise invalid("recipe", "known", self.recipe, did_you_mean(self.recipe, RECIPE_NAMES))
        self._check_schedule()
        self._check_strengths()
        check_seconds("checkpoint_every", self.checkpoint_every)
        check_seed(self.seed)
        check_val_images(self.val_images)
        if self.num_workers is not None and self.num_workers < 0:
            raise invalid("num_workers", "0 or more", self.num_workers, "Leave it out for the default.")

    @property
    def kind(self) -> Literal["fixed", "progressive", "random-resize", "published"]:
        """How image sizes go."""
        return "published" if self.schedule in PUBLISHED_SCHEDULES else self.schedule  # type: ignore[return-value]

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the regularisers that were given, by a stage's names, from the first stage to the last."""
        given = {name: getattr(self, name) for name in RANGES}
        return {RANGES[name]: parse_range(name, text) for name, text in given.items() if text is not None}

    def _check_schedule(self) -> None:
        known = ("fixed", "progressive", "random-resize", *PUBLISHED_SCHEDULES)
        if self.schedule not in known:
            raise invalid("schedule", "known", self.schedule, did_you_mean(self.schedule, known))
        if self.stages < 1:
            raise invalid("stages", "at least 1", self.stages, "Four is usual.")
        for name in ("image_size", "first_image_size"):
            size = getattr(self, name)
            if size is not None and size < 8:
                raise invalid(name, "at least 8", size, "Leave it out for the default.")
        self._check_ranges()

    def _check_ranges(self) -> None:
        ranges = self.ranges()
        given = [name for name in RANGES if RANGES[name] in ranges]
        given += [name for name in ("image_size", "first_image_size") if getattr(self, name) is not None]
        for name in given:
            value = getattr(self, name)
            if self.kind == "published":
                todo = "It is published with the rest; --schedule progressive takes your own."
                raise invalid(name, f"left out with --schedule {self.schedule}", value, todo)
            if self.kind != "fixed":
                continue
            if name == "first_image_size":
                raise invalid(name, "left out with --schedule fixed", value, "Add --schedule progressive.")
            if name in RANGES and len(set(ranges[RANGES[name]])) > 1:
                todo = "Give one, or add --schedule progressive."
                raise invalid(name, "one number with --schedule fixed", value, todo)

    def _check_strengths(self) -> None:
        if self.batch_size < 2:
            raise invalid("batch_size", "at least 2", self.batch_size, "BatchNorm needs two images.")
        if self.max_batch_size is not None and self.max_batch_size < self.batch_size:
            raise invalid("max_batch_size", f"at least {self.batch_size}", self.max_batch_size, "Raise it.")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise invalid("learning_rate", "above 0 and finite", self.learning_rate, "Leave it out for the default.")
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise invalid("weight_decay", "0 or more and finite", self.weight_decay, "Leave it out for the default.")
        for name in ("ema", "crop_area"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise invalid(name, "above 0 and below 1", value, "Leave it out for the default.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types for the manifest, without those that do not change what is trained."""
        plain = {key: value for key, value in asdict(self).items() if key not in _OF_THE_CALL}
        return {**plain, **{name: None if plain[name] is None else str(plain[name]) for name in _PATHS}}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "TrainSettings":
        """Read what `to_dict` wrote; raise InvalidInputError for unknown keys and values of another type."""
        check_kept(cls, plain, _OF_THE_CALL, "a training")
        paths = {name: plain.get(name) for name in _PATHS}
        return cls(**{**plain, **{name: None if path is None else Path(path) for name, path in paths.items()}})
