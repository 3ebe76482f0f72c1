"""Settings of the verbs with their defaults; the command line is generated from them. No torch."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

from nas.errors import did_you_mean, invalid
from nas.spec import MAX_IMAGE_SIZE

DEFAULT_FIDELITY = "5000x2"
"""Ranks the tiny space on the default task well above its noise: results/fashion_hard/README.md."""


@dataclass(frozen=True)
class SearchSettings:
    """Search for networks that are accurate, small and fast to train, on your images and your device.

    Candidates of a search space are trained briefly, timed and counted. At the end you have a Pareto front of measured
    candidates and a family of networks, S, M and L, in a folder below results/. The same command with --resume goes on
    after a Ctrl-C or a crash.

    Examples:
        python -m nas.search --budget 200
        python -m nas.search --data path/to/images --device cuda:0
        python -m nas.search --resume results/20260131-120000-efficientnet_v2_tiny-fashion-hard
    """

    budget: int = 200
    """Number of candidates to evaluate. Candidates equal to an earlier one are free."""
    space: str = "efficientnet_v2_tiny"
    """Search space: efficientnet_v2_tiny (for 28 to 64 pixels), efficientnet_v2 (the paper's), or your own as
    package.module:attribute."""
    data: str = "fashion-hard"
    """Data set: fashion-hard (embedded), fashion-mnist, cifar10, cifar100, or a path: a folder of one folder per class
    (also with train/ and val/), or a Hugging Face image parquet folder."""
    objective: Annotated[str, tyro.conf.arg(metavar="{pareto,reward}")] = "pareto"
    """pareto: accuracy, step time and parameters at once. reward: accuracy * S^-0.07 * P^-0.05, as in the paper."""
    sampler: Annotated[str, tyro.conf.arg(metavar="{tpe,random,nsga2,gp,aging}")] = "tpe"
    """How candidates are proposed; random is the paper's, aging is regularised evolution."""
    fidelity: str = DEFAULT_FIDELITY
    """Training of each candidate: IMAGESxEPOCHS, or IMAGESxEPOCHS@SIZE to train at another image size."""
    workers: int | None = None
    """Worker processes; 0 evaluates in this process. By default one per accelerator, or per CPU core."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0."""
    seed: int = 0
    """Seed of proposals, splits and training."""
    val_images: int | None = None
    """Images held out to measure accuracy. By default a split of their own, else a third of the training images, at
    most 6,000."""
    warm_start: bool = True
    """Evaluate the space's reference networks first."""
    out: Path | None = None
    """Folder of the run, new or empty. By default results/ and a name from time, space and data."""
    resume: Path | None = None
    """Folder of a run to go on with, up to the budget; other settings are those of the run unless given."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no data could make right."""
        if self.budget < 1:
            raise invalid("budget", "at least 1", self.budget, "Say how many candidates to evaluate.")
        if self.workers is not None and not 0 <= self.workers <= 1024:
            raise invalid("workers", "from 0 to 1024", self.workers, "Leave it out for the default.")
        _check_seed(self.seed)
        _check_val_images(self.val_images)
        if self.out is not None and self.resume is not None:
            raise invalid(
                "out and resume", "given one at a time", str(self.out), "Leave out --out to go on with a run."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types for the manifest, without where the run lies."""
        return {key: value for key, value in asdict(self).items() if key not in ("out", "resume")}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SearchSettings":
        """Read what `to_dict` wrote; raise InvalidInputError for unknown keys."""
        known = {f.name for f in fields(cls)} - {"out", "resume"}
        for key in plain:
            if key not in known:
                raise invalid("settings in the manifest", "those of a search", key, did_you_mean(key, known))
        return cls(**plain)


@dataclass(frozen=True)
class TrainSettings:
    """Train a network and save its weights (safetensors) and a table of its progress (CSV).

    Examples:
        python -m nas.train --arch results/RUN/S.json --epochs 20
        python -m nas.train --arch efficientnet_v2_b0 --data path/to/images --image-size 128 --device cuda:0
    """

    arch: Annotated[str, tyro.conf.arg(metavar="FILE|NAME")]
    """Architecture: a JSON file from a search, or a published one such as efficientnet_v2_s."""
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

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no data could make right."""
        if self.epochs < 1:
            raise invalid("epochs", "at least 1", self.epochs, "Say how many passes over the images to make.")
        if self.batch_size < 2:
            raise invalid("batch_size", "at least 2", self.batch_size, "BatchNorm needs two images.")
        if not 0 < self.learning_rate < math.inf:
            raise invalid("learning_rate", "above 0 and finite", self.learning_rate, "Leave it out for the default.")
        if not 0 <= self.weight_decay < math.inf:
            raise invalid("weight_decay", "0 or more and finite", self.weight_decay, "Leave it out for the default.")
        _check_seed(self.seed)
        _check_val_images(self.val_images)
        if self.image_size is not None and self.image_size < 8:
            raise invalid("image_size", "at least 8", self.image_size, "Leave it out for the architecture's own.")


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
    """Weights of nas.train. Those for torchvision and python are written beside the file, as .safetensors."""
    out: Path | None = None
    """File to write, which must not be there yet."""
    num_classes: int | None = None
    """Outputs of the classifier; by default those of the weights, else 1000."""
    in_channels: int | None = None
    """Channels of an image; by default those of the weights, else 3."""
    image_size: int | None = None
    """Pixels a side; by default that of the weights, else the size the architecture is validated at."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no file could make right."""
        for name in ("num_classes", "in_channels", "image_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise invalid(name, "at least 1", value, "Leave it out for the default.")
        if self.image_size is not None and self.image_size > MAX_IMAGE_SIZE:
            raise invalid("image_size", f"at most {MAX_IMAGE_SIZE}", self.image_size, "Give a smaller one.")


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


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise invalid("seed", "from 0 to 4294967295", seed, "Choose a small whole number.")


def _check_val_images(val_images: int | None) -> None:
    if val_images is not None and val_images < 1:
        raise invalid("val_images", "at least 1", val_images, "Leave it out for the default.")
