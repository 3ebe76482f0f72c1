"""A network in the words of other tools: one module a target, and `EXPORTERS`, which knows them by name.

An exporter takes a `Network` and returns the content of one file, text or bytes. What another tool cannot express is
an InvalidInputError that names the field; nothing is left out in silence. Only ONNX and torch.export need torch, which
they import when they run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nas.models.export.automl import automl_file
from nas.models.export.network import Network
from nas.models.export.onnx import onnx_file
from nas.models.export.program import program_file
from nas.models.export.standalone import standalone_file
from nas.models.export.table import json_file, markdown_file
from nas.models.export.timm import timm_file
from nas.models.export.torchvision import torchvision_file

if TYPE_CHECKING:
    from nas.models.weights.layouts import Layout

__all__ = ["EXPORTERS", "Exporter", "Network"]


@dataclass(frozen=True, slots=True)
class Exporter:
    """Attributes:
    render: Returns the file's content; raises InvalidInputError for what the target cannot express.
    weights: Where trained weights go: "inside" the file, in a file of their own "beside" it, or "nowhere".
    layout: Whose names weights beside it have.
    """

    render: Callable[[Network], str | bytes]
    weights: Literal["inside", "beside", "nowhere"]
    layout: "Layout" = "torchvision"


EXPORTERS: Mapping[str, Exporter] = {
    "onnx": Exporter(onnx_file, "inside"),
    "torch-export": Exporter(program_file, "inside"),
    "timm": Exporter(timm_file, "beside", "timm"),
    "torchvision": Exporter(torchvision_file, "beside"),
    "automl": Exporter(automl_file, "nowhere"),
    "python": Exporter(standalone_file, "beside"),
    "json": Exporter(json_file, "nowhere"),
    "markdown": Exporter(markdown_file, "nowhere"),
}
"""Every target by the name it has on the command line."""
