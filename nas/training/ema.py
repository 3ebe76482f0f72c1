"""Averages of a network's weights over its training: they validate better than the weights of any one step."""

import copy
from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from nas.errors import invalid

_NUM_UPDATES = "num_updates"


class WeightAverage:
    """Exponential moving average of weights and BatchNorm statistics, as TensorFlow computes it.

    After step t, from 1, every floating tensor a of the average follows that of the network, w:

        a <- d * a + (1 - d) * w,    d = min(decay, (1 + t) / (10 + t))

    so that what the network was before it learned is soon forgotten. Whole numbers, which count, are copied
    (google/automl, efficientnetv2: main.py and `get_ema_vars` of utils.py).

    Args:
        model: On its device; the average begins with what it is now.
        decay: What is kept of the average in a step, at most; above 0 and below 1.

    Attributes:
        num_updates: How many steps the average has followed.

    Raises:
        InvalidInputError: If `decay` is out of range.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise invalid("ema_decay", "above 0 and below 1", decay, "0.9999 is EfficientNetV2's.")
        self.decay = decay
        self.num_updates = 0
        self._average = {name: tensor.detach().clone() for name, tensor in _named(model)}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Follow the network by a step."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        averages: list[Tensor] = []
        values: list[Tensor] = []
        for average, (_, value) in zip(self._average.values(), _named(model), strict=True):
            if value.is_floating_point():
                averages.append(average)
                values.append(value)
            else:
                average.copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)

    def averaged(self, model: nn.Module) -> nn.Module:
        """Return a copy of the network, in evaluation mode, with the average's weights and BatchNorm statistics."""
        copied = copy.deepcopy(model)
        with torch.no_grad():
            for name, tensor in _named(copied):
                tensor.copy_(self._average[name])
        return copied.eval()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the average by the network's names, and "num_updates"; the tensors are not copied."""
        return {**self._average, _NUM_UPDATES: torch.tensor(self.num_updates)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what `state_dict` returned.

        Raises:
            InvalidInputError: If it is that of another network.
        """
        if state.keys() != {*self._average, _NUM_UPDATES}:
            raise invalid("average", "of the same network", f"{len(state)} tensors", "Their names differ.")
        self.num_updates = int(state[_NUM_UPDATES].item())
        for name, average in self._average.items():
            average.copy_(state[name])


def _named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Return what a state dict has; making one takes longer than following it."""
    return chain(model.named_parameters(), model.named_buffers())
