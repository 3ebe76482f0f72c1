"""`Network`: what there is to say about a network that leaves the toolkit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nas.models.options import DEFAULT_OPTIONS, BuildOptions
from nas.spec import ArchSpec

if TYPE_CHECKING:
    from torch import Tensor

    from nas.models.builder import EfficientNet


@dataclass(frozen=True, slots=True)
class Network:
    """Attributes:
    spec: The architecture.
    num_classes: Outputs of the classifier.
    in_channels: Channels of an image.
    image_size: Pixels a side of what it is to read.
    tensors: Trained weights in either layout, checked to fit; None for a network that is not trained.
    metadata: Of the weights, as `nas.training.weights` writes them.
    options: What its weights were trained with and the spec leaves open.
    """

    spec: ArchSpec
    num_classes: int
    in_channels: int
    image_size: int
    tensors: "Mapping[str, Tensor] | None" = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    options: BuildOptions = DEFAULT_OPTIONS

    def build(self) -> "EfficientNet":
        """Return the network in evaluation mode on the CPU, freshly initialised where there are no weights."""
        from nas.models.builder import build_model

        model = build_model(self.spec, self.num_classes, self.in_channels, options=self.options).eval()
        if self.tensors is not None:
            from nas.models.weights import load_weights

            load_weights(model, self.tensors)
        return model
