"""Weights as safetensors files that say how to predict with them.

The file's metadata, all texts as the format asks:

- `format`: "nas.weights/1",
- `arch`: the `ArchSpec` as JSON,
- `options`: the `BuildOptions` as JSON; files without it were made with the defaults,
- `class_names`: a JSON list, one name an output,
- `mean`, `std`: JSON lists, one number a channel (1 for grey, 3 for RGB), of pixels scaled to 0 to 1,
- `image_size`: pixels a side of what the network reads,
- `preparation`: how images come to that size. "resize": resize the short side to it, bilinear, and crop the centre; so
  do files that do not say. "crop": cut out the centre, pixel for pixel, since resizing would change what is to be seen,
- `data`: name or path of the data set,
- `epoch`, `val_accuracy`, `val_accuracy_stderr`: when the weights were taken, and how they did on the validation split.

`load_network` reads all of it. By hand, they load into the shared builder's network:

    spec, options = ArchSpec.from_dict(json.loads(arch)), BuildOptions.from_dict(json.loads(options))
    model = build_model(spec, num_classes=len(class_names), in_channels=len(mean), options=options)
    safetensors.torch.load_model(model, "weights.safetensors")
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from nas.data.batches import prepare
from nas.data.dataset import Dataset
from nas.data.sources import PixelFormat
from nas.errors import InvalidInputError, invalid
from nas.files import replace_file
from nas.models.builder import EfficientNet, build_model
from nas.models.options import BuildOptions
from nas.models.weights import load_weights
from nas.models.weights.source import read_file
from nas.spec import MAX_IMAGE_SIZE, ArchSpec
from nas.training.loop import Normalise
from nas.training.validation import accuracy_stderr

FORMAT = "nas.weights/1"
_RESIZE, _CROP = "resize", "crop"


def prediction_metadata(dataset: Dataset, spec: ArchSpec, options: BuildOptions) -> dict[str, str]:
    """Return the metadata that stay the same all through a training."""
    return {
        "format": FORMAT,
        "arch": json.dumps(spec.to_dict()),
        "options": json.dumps(options.to_dict()),
        "class_names": json.dumps(dataset.class_names),
        "mean": json.dumps(dataset.mean),
        "std": json.dumps(dataset.std),
        "image_size": str(spec.train_image_size),
        "preparation": _CROP if dataset.cropped else _RESIZE,
        "data": dataset.name,
    }


def epoch_metadata(epoch: int, val_accuracy: float, num_val_images: int) -> dict[str, str]:
    """Return the metadata that say which state of a training the weights are."""
    return {
        "epoch": str(epoch),
        "val_accuracy": repr(val_accuracy),
        "val_accuracy_stderr": repr(accuracy_stderr(val_accuracy, num_val_images)),
    }


def save_weights(model: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a network's weights and statistics; an existing file is replaced in one step."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    replace_file(path, save(tensors, dict(metadata)))


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network and how to predict with it.

    Attributes:
        model: In evaluation mode, on the CPU.
        class_names: One name an output.
        mean: Of each channel, from 0 to 1, to normalise with.
        std: Of each channel, on the same scale, likewise; above 0.
        pixels: How images are brought to the size that it was trained at.
    """

    model: EfficientNet
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pixels: PixelFormat

    @property
    def normalise(self) -> Normalise:
        """From images that are prepared, at any size, to what the network reads."""
        return partial(prepare, mean=self.mean, std=self.std, memory_format=torch.channels_last)

    def pixels_at(self, image_size: int) -> PixelFormat:
        """Return how images are brought to another size than that of the training."""
        return replace(self.pixels, size=image_size)


def load_network(path: Path) -> TrainedNetwork:
    """Read what `nas.train` wrote.

    Raises:
        InvalidInputError: If the file cannot be read, was written by something else, or was edited.
    """
    tensors, metadata = read_file(path)
    if metadata.get("format") != FORMAT:
        todo = "Others do not say what their outputs mean, and how to prepare images."
        raise invalid("weights", "a file of nas.train", str(path), todo)
    try:
        said = {name: json.loads(metadata.get(name, "null")) for name in _SAID}
        _check_metadata(said, metadata.get("preparation", _RESIZE))
        spec, options = ArchSpec.from_dict(said["arch"]), BuildOptions.from_dict(said["options"] or {})
        model = build_model(spec, len(said["class_names"]), len(said["mean"]), options=options)
        load_weights(model, tensors)
    except (InvalidInputError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path}: {error}") from error
    crop = metadata.get("preparation", _RESIZE) == _CROP
    pixels = PixelFormat(len(said["mean"]), said["image_size"], resize=not crop, crop=crop)
    names, mean, std = (tuple(said[name]) for name in ("class_names", "mean", "std"))
    return TrainedNetwork(model.eval(), names, mean, std, pixels)


_SAID = ("arch", "options", "class_names", "mean", "std", "image_size")


def _check_metadata(said: Mapping[str, Any], preparation: str) -> None:
    """Raise InvalidInputError unless what a file says of itself is what `prediction_metadata` writes."""
    names, mean, std, size = (said[name] for name in ("class_names", "mean", "std", "image_size"))
    rules = {
        "class_names": (
            isinstance(names, list) and names and all(type(name) is str for name in names),
            "a list of names",
        ),
        "mean": (_numbers(mean) and len(mean) in (1, 3), "one number, or three"),
        "std": (
            _numbers(std) and _numbers(mean) and len(std) == len(mean) and all(each > 0 for each in std),
            "as many numbers above 0",
        ),
        "image_size": (type(size) is int and 1 <= size <= MAX_IMAGE_SIZE, f"from 1 to {MAX_IMAGE_SIZE}"),
    }
    for name, (holds, rule) in rules.items():
        if not holds:
            raise invalid(f"{name} of the weights", rule, said[name], "The file was edited.")
    if preparation not in (_RESIZE, _CROP):
        raise invalid("preparation of the weights", f"{_RESIZE} or {_CROP}", preparation, "The file was edited.")


def _numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is float and math.isfinite(each) for each in value)
