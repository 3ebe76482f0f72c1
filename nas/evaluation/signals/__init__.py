"""Training-free scores of a network: one module a score, each a function of model, images and labels.

A score takes a network with its initial weights, float images (N, C, H, W) and labels (N,) on the model's device, and
leaves the network as it was. Higher is better in all of them: a network with a higher one is expected to be more
accurate once it is trained. None is safe in every space, so they are to be seen next to the trivial ones: parameters,
multiply-adds and depth, which need no network (`nas.results.signals`).
"""

from collections.abc import Callable

from torch import Tensor, nn

from nas.evaluation.signals.grad_norm import grad_norm
from nas.evaluation.signals.naswot import naswot
from nas.evaluation.signals.synflow import synflow

Signal = Callable[[nn.Module, Tensor, Tensor], float]

SIGNALS: dict[str, Signal] = {"naswot": naswot, "synflow": synflow, "grad_norm": grad_norm}
"""By name; `Measurement` has a field `signal_NAME` for each."""
