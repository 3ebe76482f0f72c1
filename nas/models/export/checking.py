"""Whether a program that was written computes what the network computes."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from nas.errors import NasError
from nas.models.export.network import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

TOLERANCE = 1e-4
"""Largest difference of logits that is agreed to, relative to the largest logit: that of adding in another order."""

EXAMPLE_BATCH = 2
"""Images in the example that a program is traced with; a batch of 1 would be written into the program."""

CHECKED_BATCHES = (1, 3)


class ExportError(NasError):
    """A program was written, but its outputs are not the network's; no file is left."""


def images_like(network: Network, batch_size: int) -> "Tensor":
    """Return random images (N, in_channels, image_size, image_size), the same on every call."""
    import torch

    generator = torch.Generator().manual_seed(batch_size)
    shape = (batch_size, network.in_channels, network.image_size, network.image_size)
    return torch.randn(shape, generator=generator)


def check_program(what: str, network: Network, model: "nn.Module", program: "Callable[[Tensor], Tensor]") -> None:
    """Compare a program's logits with the network's at two batch sizes, neither that of the example.

    Raises:
        ExportError: If they differ by more than `TOLERANCE`, or are not finite.
    """
    for batch_size in CHECKED_BATCHES:
        error = _relative_error(network, model, program, batch_size)
        if not error <= TOLERANCE:  # Also where it is not a number.
            raise ExportError(
                f"The {what} program gives other logits than the network: a relative difference of {error:.1e} at a "
                f"batch of {batch_size}, more than {TOLERANCE:.0e}. Nothing has been written."
            )


def _relative_error(
    network: Network, model: "nn.Module", program: "Callable[[Tensor], Tensor]", batch_size: int
) -> float:
    import torch

    images = images_like(network, batch_size)
    with torch.no_grad():
        expected, found = model(images), program(images)
    return float((found - expected).abs().max() / expected.abs().max())


def prediction_metadata(network: Network) -> Iterator[tuple[str, str]]:
    """Yield what a program carries beside its weights: the architecture, and what the weights said of themselves."""
    yield "arch", json.dumps(network.spec.to_dict())
    yield "image_size", str(network.image_size)
    for key in ("class_names", "mean", "std", "data"):
        if key in network.metadata:
            yield key, network.metadata[key]
