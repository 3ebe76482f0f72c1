"""What training a network will hold in memory, estimated from its shapes: nothing is computed or allocated."""

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from nas.errors import invalid
from nas.evaluation.complexity import build_on_meta, count_params
from nas.spec import ArchSpec
from nas.training.recipe import Recipe

_FLOAT32_BYTES = 4


def estimate_training_memory(
    spec: ArchSpec,
    *,
    num_classes: int,
    in_channels: int,
    batch_size: int,
    image_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    recipe: Recipe | None = None,
) -> int:
    """Return the bytes that a training step holds: weights, gradients, optimizer state, and what backward needs.

    The last is what autograd saves while the network runs forward on `meta` tensors, each storage once, and twice the
    largest of them for the gradients that go into and come out of one layer. Not in the number are what kernels use as
    scratch, what an allocator keeps or loses to fragments, and what a framework takes for itself. Gradients of weights
    and saved tensors are both in it in full, though the first come as the second go. So it is an estimate; a test
    compares it with measurements on a CPU.

    Args:
        spec: The network.
        num_classes: Outputs of the classifier.
        in_channels: Channels of an image.
        batch_size: Images in a step.
        image_size: Pixels a side; None means the spec's training size.
        dtype: What convolutions compute in. Weights, gradients and optimizer state are float32, as under autocast,
            which keeps a copy of the weights in `dtype` until backward is done.
        recipe: What it holds for every weight counts: AdamW two numbers, RMSProp one and SGD none, momentum one more
            for these two, and an average of the weights one. So does in how many parts it computes a batch. None means
            the default recipe.

    Raises:
        InvalidInputError: If a number is out of range.
    """
    size = spec.train_image_size if image_size is None else image_size
    for name, value, least in (("batch_size", batch_size, 2), ("image_size", size, 1)):
        if value < least:
            raise invalid(name, f"at least {least}", value, "Correct the value.")
    model = build_on_meta(spec, num_classes, in_channels)
    num_params = count_params(model)
    recipe = recipe or Recipe()
    held = num_params * _FLOAT32_BYTES * (2 + _state_per_param(recipe))
    if dtype != torch.float32:
        held += num_params * dtype.itemsize
    model = model.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    part = -(-batch_size // recipe.accumulate)
    images = torch.empty((part, in_channels, size, size), dtype=dtype, device="meta")
    labels = torch.empty(part, dtype=torch.int64, device="meta")
    return held + _saved_bytes(model, images.contiguous(memory_format=torch.channels_last), labels)


def _saved_bytes(model: torch.nn.Module, images: Tensor, labels: Tensor) -> int:
    """Return the bytes that autograd saves in a forward pass, without the weights, and twice the largest tensor's."""
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, Tensor] = {}  # The tensors themselves, since the key of one that is gone may be given again.

    def note(tensor: Tensor) -> Tensor:
        saved.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    model.train()
    with saved_tensors_hooks(note, lambda tensor: tensor):
        functional.cross_entropy(model(images).float(), labels)
    sizes = [tensor.untyped_storage().nbytes() for key, tensor in saved.items() if key not in own]
    return sum(sizes) + 2 * max(sizes)


def _state_per_param(recipe: Recipe) -> int:
    average = 0 if recipe.ema_decay is None else 1
    if recipe.optimizer == "adamw":
        return 2 + average
    return (1 if recipe.optimizer == "rmsprop" else 0) + (1 if recipe.momentum > 0 else 0) + average
