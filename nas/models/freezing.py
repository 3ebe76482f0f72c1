"""Hold the first layers of a network while the others learn, as in fine-tuning."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from torch import nn

from nas.errors import invalid

if TYPE_CHECKING:
    from nas.models.builder import EfficientNet


class Freezable(nn.Module):
    """A piece of a network that can be held: while `frozen`, `train()` leaves it in evaluation mode.

    So its BatchNorm uses the statistics it has and keeps them, and its stochastic depth is off.
    """

    frozen: bool = False

    def train(self, mode: bool = True) -> "Freezable":
        return super().train(mode and not self.frozen)


def freeze(model: "EfficientNet", stages: int | Literal["all"]) -> None:
    """Hold the stem and the first stages: weights, BatchNorm statistics, and evaluation mode, whatever `train()` says.

    Further calls hold more; `unfreeze` ends it. An optimizer may hold frozen weights, it does not move them.

    Args:
        model: The network, changed in place.
        stages: How many stages, from 0 for the stem alone; "all" takes the head convolution as well, so that only the
            classifier learns.

    Raises:
        InvalidInputError: If the network has fewer stages.
    """
    total = len(model.spec.stages)
    if stages != "all" and (isinstance(stages, bool) or not isinstance(stages, int) or not 0 <= stages <= total):
        raise invalid("stages", f'"all" or an integer from 0 to {total}', stages, "Correct the value.")
    _set_frozen(list(model.features)[: None if stages == "all" else stages + 1], frozen=True)


def unfreeze(model: "EfficientNet") -> None:
    """Let all of a network learn again; what was frozen takes on the mode, training or evaluation, of the network."""
    _set_frozen(model.features, frozen=False)
    model.train(model.training)


def _set_frozen(parts: Iterable[nn.Module], *, frozen: bool) -> None:
    for part in parts:
        part.requires_grad_(not frozen)
        for module in part.modules():
            if isinstance(module, Freezable):
                module.frozen = frozen
                if frozen:
                    module.eval()
