"""Weights out of a network, by the names that torchvision or timm has for them."""

import os
from pathlib import Path
from typing import get_args

from safetensors.torch import save
from torch import Tensor

from nas.errors import did_you_mean, invalid
from nas.files import replace_file
from nas.models.builder import EfficientNet
from nas.models.weights.layouts import Layout, layout_names


def named_weights(model: EfficientNet, layout: Layout = "torchvision") -> dict[str, Tensor]:
    """Return the state dict of `model` under the layout's names, in the order of ours; tensors are shared, not copied.

    The peer's network of the same architecture loads it with `strict=True`.

    Raises:
        InvalidInputError: If the layout is unknown.
    """
    if layout not in get_args(Layout):
        raise invalid("layout", "known", layout, did_you_mean(layout, get_args(Layout)))
    state = model.state_dict()
    return {theirs: state[ours] for ours, theirs in layout_names(model.spec, layout).items()}


def export_weights(model: EfficientNet, path: str | os.PathLike[str], layout: Layout = "torchvision") -> None:
    """Write the weights of `model` as a safetensors file with the layout's names.

    An existing file is replaced in one step. In the peer, `net.load_state_dict(safetensors.torch.load_file(path))` on
    its network of the same architecture gives equal logits, given the same padding and BatchNorm epsilon (timm's
    `efficientnetv2_*` need `bn_eps=1e-3`).

    Raises:
        InvalidInputError: If the layout is unknown, or the file cannot be written.
    """
    file = Path(path)
    if file.is_dir():
        raise invalid("weights file", "a file", str(file), "It is a folder; add a name.")
    tensors = {name: tensor.cpu().contiguous() for name, tensor in named_weights(model, layout).items()}
    try:
        # "format" is how other libraries tell whose tensors a safetensors file holds.
        replace_file(file, save(tensors, metadata={"format": "pt"}))
    except OSError as error:
        raise invalid("weights file", "writable", str(file), f"{error.strerror or error}.") from error
