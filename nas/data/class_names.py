"""Classes by their names, where a network and a data set each have an order of their own."""

from collections.abc import Sequence

import numpy as np

from nas.data.sampling import Indices
from nas.errors import InvalidInputError

_NUM_LISTED = 5


def label_map(data: Sequence[str], network: Sequence[str]) -> Indices:
    """Return for each class of a data set the output of a network that stands for it.

    Args:
        data: Names of the data set's classes, in the order of its labels.
        network: Names of the network's, in the order of its outputs.

    Raises:
        InvalidInputError: If they are not the same names, or two have one name and their orders differ.
    """
    if tuple(data) == tuple(network):
        return np.arange(len(data))
    unknown = [name for name in data if name not in network]
    absent = [name for name in network if name not in data]
    counts = f"{len(data)} in the data, {len(network)} in the weights"
    parts = [f"only the data have {_listed(unknown)}"] if unknown else []
    parts += [f"only the weights have {_listed(absent)}"] if absent else []
    if len(data) != len(network) or len({*network}) < len(network):
        parts = parts or ["two have one name"]
    if parts:
        raise InvalidInputError(
            f"`classes of the data` must be those of the weights, got {'; '.join([counts, *parts])}. "
            "Name the classes alike, or train on this data."
        )
    return np.array([network.index(name) for name in data])


def _listed(names: Sequence[str]) -> str:
    """Return the first few names, as on one line of text, and how many more there are."""
    shown = ", ".join(ascii(name) if not name.isprintable() else repr(name) for name in names[:_NUM_LISTED])
    return shown if len(names) <= _NUM_LISTED else f"{shown} and {len(names) - _NUM_LISTED} more"
