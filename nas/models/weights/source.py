"""State dicts out of files and checkpoints. Files that hold code are refused, never run."""

import os
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nas.errors import invalid

Source = Mapping[str, object] | str | os.PathLike[str]
"""A state dict, a training checkpoint with one inside, or the path of a safetensors file or a torch file."""

# Where training scripts put a state dict; averaged weights first, as they are the ones that are validated.
_ENTRIES = ("state_dict_ema", "model_ema", "state_dict", "model")
# What torch.compile, DataParallel and AveragedModel put before each name.
_PREFIXES = ("module.", "_orig_mod.")
_AVERAGED_MODEL_COUNTER = "n_averaged"

# What torch's unpickler raises on files that are damaged, of another kind, or hold code.
_UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    OverflowError,
)


def read_source(source: Source) -> tuple[dict[str, Tensor], str | None]:
    """Return the state dict in `source`, on the CPU if it is a file, and the checkpoint's entry it was found in.

    Prefixes that all names have because of how the network was wrapped are taken off.

    Raises:
        InvalidInputError: If a file cannot be read or holds code, or if there is no state dict.
    """
    content = source if isinstance(source, Mapping) else _read_file(source)[0]
    found = next((name for name in _ENTRIES if isinstance(content.get(name), Mapping)), None)
    state = content if found is None else content[found]
    assert isinstance(state, Mapping)
    if not state:
        raise invalid("weights", "a state dict with tensors", "an empty one", "Save it again from a network.")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise invalid(
                "weights",
                "a state dict of names and tensors",
                f"{type(value).__name__} under {name!r}",
                "Give the network's state_dict() itself.",
            )
    return _without_prefixes(state), found


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a file's state dict, as `read_source` does, and its metadata, which torch files have none of.

    Raises:
        InvalidInputError: As `read_source`.
    """
    content, metadata = _read_file(path)
    return read_source(content)[0], metadata


def _read_file(path: object) -> tuple[Mapping[str, object], dict[str, str]]:
    if not isinstance(path, str | os.PathLike):
        raise invalid("weights", "a state dict or the path of a file", path, "Correct the value.")
    file = Path(path)
    if file.is_dir():
        raise invalid("weights", "a file", str(file), "It is a folder; give the file in it.")
    try:
        with file.open("rb") as opened:
            start = opened.read(9)
        # A safetensors file starts with the length of its header in eight bytes, and the header is JSON.
        return _read_safetensors_file(file) if start[8:] == b"{" else (_read_torch_file(file), {})
    except OSError as error:
        raise invalid("weights", "a readable file", str(file), f"{error.strerror or error}.") from error
    except SafetensorError as error:
        raise invalid(
            "weights", "a whole safetensors file", str(file), f"It is damaged ({error}); copy or save it again."
        ) from error


def _read_safetensors_file(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118


def _read_torch_file(file: Path) -> Mapping[str, object]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise invalid(
            "weights",
            "a safetensors file, or a torch file of tensors and plain values only",
            str(file),
            "It is damaged, of another kind, or holds Python objects, which are not loaded as they can run code; "
            "where you trust it, save its state dict as safetensors.",
        ) from error
    if not isinstance(content, Mapping):
        raise invalid("weights", "a file with a state dict", f"a {type(content).__name__}", "Save model.state_dict().")
    return content


def _without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {name: tensor for name, tensor in state.items() if name != _AVERAGED_MODEL_COUNTER}
    while prefix := next((p for p in _PREFIXES if named and all(name.startswith(p) for name in named)), None):
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named
