"""Training with a network that is compiled (`torch.compile`): steps take less time, once it has been."""

import torch
from torch import nn

from nas.errors import invalid
from nas.training.loop import Trainer
from nas.training.recipe import Recipe


class CompiledTrainer(Trainer):
    """A `Trainer` whose network is compiled for every size of images and batches.

    `model` stays as it was built: what copies, saves or validates it compiles nothing. Random numbers of dropout and
    stochastic depth are others than those of a network that is not compiled.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, device: torch.device, *, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(model, recipe, device, dtype=dtype)
        self.forward = torch.compile(self.model, dynamic=False)

    def set_regularisation(self, *, dropout: float | None, stochastic_depth: float | None) -> None:
        super().set_regularisation(dropout=dropout, stochastic_depth=stochastic_depth)
        # Each phase has its own sizes and strengths; PyTorch keeps a few versions, then compiles no more.
        torch.compiler.reset()


def check_compiles(device: torch.device) -> None:
    """Compile a sum; raise InvalidInputError where nothing can be compiled, for example without a C++ compiler."""
    values = torch.ones(2, device=device)
    try:
        torch.compile(torch.add)(values, values)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        todo = f"On a CPU it takes a C++ compiler (CXX), on a GPU Triton. {reason}"
        raise invalid("compile", f"left out where nothing can be compiled for {device.type}", True, todo) from error
