"""Weights in and out: peers' state dicts, files, and what one network inherits from another."""

from nas.models.weights.inherit import InheritReport, inherit_weights
from nas.models.weights.load import LoadReport, adapt_input_channels, load_weights
from nas.models.weights.save import export_weights, named_weights

__all__ = [
    "InheritReport",
    "LoadReport",
    "adapt_input_channels",
    "export_weights",
    "inherit_weights",
    "load_weights",
    "named_weights",
]
