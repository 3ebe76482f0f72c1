"""RMSProp as TensorFlow computes it, which EfficientNetV2 was trained with."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from nas.errors import invalid


class RMSpropTF(torch.optim.Optimizer):
    """RMSProp with the three habits of TensorFlow's (`tf.compat.v1.train.RMSPropOptimizer`).

    For a weight w, its gradient g, and from the beginning m = 1 and b = 0, a step is

        g <- g + weight_decay * w
        m <- alpha * m + (1 - alpha) * g^2
        b <- momentum * b + lr * g / sqrt(m + eps)
        w <- w - b

    `torch.optim.RMSprop` begins with m = 0, which makes its first steps large; adds eps to the root; and multiplies b
    by the learning rate of the moment, so that a change of the rate reaches past gradients too.

    Args:
        params: Tensors, or groups of them with settings of their own.
        lr: Learning rate, 0 or more.
        alpha: Share of m that is kept, from 0 up to, not including, 1.
        momentum: Share of b that is kept, likewise; with 0 no b is held.
        eps: Above 0.
        weight_decay: Of the square of the weights as part of the loss (coupled), 0 or more.

    The defaults are those of the released code (google/automl, efficientnetv2: hparams.py).

    Raises:
        InvalidInputError: If a number is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        alpha: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value in (("lr", lr), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise invalid(name, "at least 0", value, "Raise it.")
        for name, value in (("alpha", alpha), ("momentum", momentum)):
            if not 0 <= value < 1:
                raise invalid(name, "from 0 up to, not including, 1", value, "It is the share that is kept.")
        if not eps > 0:
            raise invalid("eps", "above 0", eps, "Raise it.")
        defaults = {"lr": lr, "alpha": alpha, "momentum": momentum, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do one step; `closure`, where there is one, computes the gradients and returns the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._step(parameters, group)
        return loss

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Do one step on tensors that have gradients, with one operator for all of them at a time."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["mean_square"] = torch.ones_like(weight)
                if group["momentum"] > 0:
                    self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        if group["weight_decay"] > 0:
            gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
        squares = [self.state[weight]["mean_square"] for weight in weights]
        torch._foreach_mul_(squares, group["alpha"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
        roots = torch._foreach_add(squares, group["eps"])
        torch._foreach_sqrt_(roots)
        if group["momentum"] > 0:
            buffers = [self.state[weight]["momentum_buffer"] for weight in weights]
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_addcdiv_(buffers, gradients, roots, value=group["lr"])
            torch._foreach_sub_(weights, buffers)
        else:
            torch._foreach_addcdiv_(weights, gradients, roots, value=-group["lr"])
