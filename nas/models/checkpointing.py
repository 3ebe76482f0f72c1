"""Gradient checkpointing: keep a block's input in place of all that it computes, and compute it again for the gradient.

It takes one more forward pass, about a third more time. Of activations, memory then holds the inputs of all blocks and
the inside of one (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_checkpointed(run: Callable[[Tensor], Tensor], module: nn.Module, images: Tensor, *, is_random: bool) -> Tensor:
    """Return `run(images)`, to be computed again when its gradient is asked for.

    The second time draws the same random numbers, and leaves BatchNorm's running statistics alone: they have taken in
    this batch already.

    Args:
        run: What to compute, with nothing but `module`.
        module: Whose BatchNorms there are to leave alone.
        images: Its input, which it must not change.
        is_random: Whether it draws random numbers, whose state must be kept then.
    """
    if torch.compiler.is_compiling():
        # The compiler derives the second pass from the first, without side effects, and takes no contexts.
        return checkpoint(run, images, use_reentrant=False, preserve_rng_state=is_random)
    contexts = partial(_contexts, module)
    return checkpoint(run, images, use_reentrant=False, preserve_rng_state=is_random, context_fn=contexts)


def _contexts(module: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return what surrounds the first pass and what surrounds the second."""
    return nullcontext(), _held_statistics(module)


@contextmanager
def _held_statistics(module: nn.Module) -> Iterator[None]:
    """Let BatchNorms that are training note what they see on copies of their statistics, which are thrown away."""
    # To have none instead would be simpler, but PyTorch wants both passes to keep the same tensors for the gradient.
    held = [
        (owner, name, buffer)
        for owner in module.modules()
        if owner.training
        for name, buffer in owner.named_buffers(recurse=False)
    ]
    for owner, name, buffer in held:
        setattr(owner, name, buffer.clone())
    try:
        yield
    finally:
        for owner, name, buffer in held:
            setattr(owner, name, buffer)
