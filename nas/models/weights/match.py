"""A source's tensors beside those of the network that they are meant for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from nas.errors import InvalidInputError, did_you_mean, invalid
from nas.models.weights.layouts import Layout, layout_names
from nas.spec import ArchSpec

STEM = "features.0.0.weight"
CLASSIFIER = ("classifier.1.weight", "classifier.1.bias")

_NUM_LISTED = 4
_MAX_NAME = 80


@dataclass(slots=True)
class Match:
    """Tensors of a source under our names, and what found no partner.

    Attributes:
        layout: Whose names the source has.
        tensors: The source's tensors by our names.
        theirs: The layout's name for each of ours.
        missing: Our names of the tensors that the source should have and does not; it may lack `num_batches_tracked`.
        unexpected: The source's names of what the network does not have.
    """

    layout: Layout
    tensors: dict[str, Tensor]
    theirs: Mapping[str, str]
    missing: list[str]
    unexpected: list[str]

    @property
    def num_classes(self) -> int | None:
        """Outputs of the source's classifier; None where it has none."""
        return self._size(CLASSIFIER[0], 0)

    @property
    def in_channels(self) -> int | None:
        """Channels of the images that the source's first convolution reads; None where it has none."""
        return self._size(STEM, 1)

    def check(self, state: Mapping[str, Tensor], advice: Collection[str] = ()) -> None:
        """Raise one error that lists all that does not fit into a network.

        Args:
            state: The network's state dict.
            advice: What the caller could have asked to adapt: "stem", "classifier".
        """
        misfits = [name for name, tensor in self.tensors.items() if not fits(tensor, state[name])]
        groups = {
            "missing": [self.theirs[name] for name in self.missing],
            "unexpected": self.unexpected,
            "of another shape": [self._compare(name, state[name]) for name in misfits],
        }
        found = [f"{len(names)} {what} ({listed(names)})" for what, names in groups.items() if names]
        if not found:
            return
        todo = "Build the network that they were trained in"
        wrong = {*misfits, *self.missing}
        parts = [part for part, names in (("stem", {STEM}), ("classifier", {*CLASSIFIER})) if wrong & names]
        if not self.unexpected and wrong <= {STEM, *CLASSIFIER} and {*parts} <= {*advice}:
            todo += f", or pass adapt={parts}"
        raise InvalidInputError(f"`weights` must be those of the network, got tensors {'; '.join(found)}. {todo}.")

    def _size(self, name: str, dimension: int) -> int | None:
        shape = self.tensors[name].shape if name in self.tensors else ()
        return (shape[dimension] or None) if dimension < len(shape) else None

    def _compare(self, name: str, ours: Tensor) -> str:
        return f"{self.theirs[name]}: theirs {_kind(self.tensors[name])}, ours {_kind(ours)}"


def match_names(tensors: Mapping[str, Tensor], spec: ArchSpec, layout: Layout | Literal["auto"] = "auto") -> Match:
    """Give a source's tensors the names that the network of `spec` has for them.

    Raises:
        InvalidInputError: If the layout is unknown.
    """
    layouts: dict[Layout, dict[str, str]] = {known: layout_names(spec, known) for known in get_args(Layout)}
    if layout != "auto" and layout not in layouts:
        raise invalid("layout", "known", layout, did_you_mean(layout, ("auto", *layouts)))
    # The layouts share no name, so the source's is the one with any name of it.
    by_names = max(layouts, key=lambda known: len(tensors.keys() & set(layouts[known].values())))
    chosen = by_names if layout == "auto" else layout
    theirs = layouts[chosen]
    ours = {name: our_name for our_name, name in theirs.items()}
    return Match(
        layout=chosen,
        tensors={ours[name]: tensor for name, tensor in tensors.items() if name in ours},
        theirs=theirs,
        missing=[o for o, name in theirs.items() if name not in tensors and not o.endswith(".num_batches_tracked")],
        unexpected=[name for name in tensors if name not in ours],
    )


def fits(tensor: Tensor, ours: Tensor) -> bool:
    """Whether one can be copied to the other: equal shapes, and both real numbers or both integers."""
    return tensor.shape == ours.shape and tensor.is_floating_point() == ours.is_floating_point()


def listed(names: Collection[str]) -> str:
    """Return the first few names, shortened, and how many more there are."""
    shown = [repr(name)[1:-1] for name in [*names][:_NUM_LISTED]]  # As in repr, on one line whatever a file holds.
    text = ", ".join(name if len(name) <= _MAX_NAME * 2 else f"{name[:_MAX_NAME]}..." for name in shown)
    return text if len(names) <= _NUM_LISTED else f"{text} and {len(names) - _NUM_LISTED} more"


def _kind(tensor: Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or "a scalar"
    return shape if tensor.is_floating_point() else f"{shape} {tensor.dtype}"
