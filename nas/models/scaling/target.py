"""What a network is to be scaled to, and what costs can be counted in closed form."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from nas.complexity import complexity
from nas.errors import invalid
from nas.spec import ArchSpec

Cost = Callable[[ArchSpec], float]
"""What a network costs, in the unit of a target; lower is better."""

_ACTIVATION_MACS = 200


@dataclass(frozen=True, slots=True)
class ScalingTarget:
    """The most that a scaled network may cost; exactly one is given.

    Attributes:
        num_params: Learnable parameters.
        num_macs: Multiply-adds of one forward pass of one image.
        relative_step_time: Step time / step time of the network that is scaled, at least 1.
    """

    num_params: float | None = None
    num_macs: float | None = None
    relative_step_time: float | None = None

    def __post_init__(self) -> None:
        given = [name for name, value in self._values() if value is not None]
        if len(given) != 1:
            raise invalid(
                "scaling target", "exactly one of " + ", ".join(n for n, _ in self._values()), given, "Give one."
            )
        least = 1 if self.quantity == "relative_step_time" else 0
        if not least < self.limit < math.inf:
            raise invalid(self.quantity, f"above {least} and finite", self.limit, "Give a larger target.")

    @property
    def quantity(self) -> str:
        """The name of what is limited."""
        return next(name for name, value in self._values() if value is not None)

    @property
    def limit(self) -> float:
        """The most it may be."""
        return next(value for _, value in self._values() if value is not None)

    def _values(self) -> list[tuple[str, float | None]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def closed_form_cost(quantity: str, *, num_classes: int, in_channels: int, image_size: int | None = None) -> Cost:
    """Return the cost that goes with a target's quantity, counted without building anything.

    For "relative_step_time" it is a stand-in that grows as step time does, in no unit: multiply-adds, and what each
    activation costs in traffic. Of the 200 networks in results/fashion_hard_200, timed on a CPU, its Kendall tau with
    relative step time is 0.78, that of multiply-adds alone 0.51; the weight was chosen on the same networks.

    Args:
        quantity: "num_params", "num_macs" or "relative_step_time".
        num_classes: Outputs of the classifier.
        in_channels: Channels of an image.
        image_size: Pixels a side; None means the spec's training size.
    """

    def cost(spec: ArchSpec) -> float:
        found = complexity(spec, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        if quantity == "num_params":
            return found.num_params
        if quantity == "num_macs":
            return found.num_macs
        return found.num_macs + _ACTIVATION_MACS * found.num_activations

    return cost
