"""A network as an ONNX model, by torch's dynamo exporter; checked with onnxruntime. Needs the extra `export`."""

import importlib.util
from typing import TYPE_CHECKING

from nas.complexity import complexity
from nas.errors import invalid
from nas.models.export.checking import EXAMPLE_BATCH, check_program, images_like, prediction_metadata
from nas.models.export.network import Network

if TYPE_CHECKING:
    from torch import Tensor

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_MAX_NUM_PARAMS = 500_000_000
"""An ONNX file of its own can hold 2 GB."""


def onnx_file(network: Network) -> bytes:
    """Return an ONNX model: input "images" (N, in_channels, image_size, image_size), output "logits" (N, num_classes).

    N is free. Weights are inside, and in the model's metadata what is needed to predict with them.

    Raises:
        InvalidInputError: If a package is missing, or the network is too large for one file.
        ExportError: If onnxruntime computes other logits from it than torch does from the network.
    """
    _check(network)
    import onnx
    import onnxruntime
    import torch

    model = network.build()
    program = torch.onnx.export(
        model,
        (images_like(network, EXAMPLE_BATCH),),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, dict(prediction_metadata(network)))
    content: bytes = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(images: "Tensor") -> "Tensor":
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        return torch.from_numpy(logits)

    check_program("ONNX", network, model, run)
    return content


def _check(network: Network) -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        rule = f"a target whose packages are there ({', '.join(_PACKAGES)})"
        raise invalid("to", rule, f"onnx without {', '.join(missing)}", 'Run: pip install "nas[export]"')
    num_params = complexity(network.spec, num_classes=network.num_classes, in_channels=network.in_channels).num_params
    if num_params > _MAX_NUM_PARAMS:
        todo = "Use --to torch-export, or make it narrower or shallower."
        raise invalid("architecture", f"of at most {_MAX_NUM_PARAMS:,} parameters for ONNX", num_params, todo)
