"""Weights as safetensors files that say how to predict with them.

The file's metadata, all texts as the format asks:

- `format`: "nas.weights/1",
- `arch`: the `ArchSpec` as JSON,
- `options`: the `BuildOptions` as JSON; files without it were made with the defaults,
- `class_names`: a JSON list, one name an output,
- `mean`, `std`: JSON lists, one number a channel (1 for grey, 3 for RGB), of pixels scaled to 0 to 1,
- `image_size`: pixels a side of what the network reads: resize the short side to it, bilinear, and crop the centre,
- `data`: name or path of the data set,
- `epoch`, `val_accuracy`, `val_accuracy_stderr`: when the weights were taken, and how they did on the validation split.

They load into the shared builder's network:

    spec, options = ArchSpec.from_dict(json.loads(arch)), BuildOptions.from_dict(json.loads(options))
    model = build_model(spec, num_classes=len(class_names), in_channels=len(mean), options=options)
    safetensors.torch.load_model(model, "weights.safetensors")
"""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import nn

from nas.data.dataset import Dataset
from nas.files import replace_file
from nas.models.options import BuildOptions
from nas.spec import ArchSpec
from nas.training.validation import accuracy_stderr

FORMAT = "nas.weights/1"


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
