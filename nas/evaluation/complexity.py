"""Parameters and multiply-adds of a built network, counted by fvcore, or by torch where nothing may be computed."""

import logging
import warnings

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.models import EfficientNet, build_model
from nas.spec import ArchSpec

_COUNTED = ("conv", "linear", "matmul", "einsum")


def build_on_meta(spec: ArchSpec, num_classes: int, in_channels: int) -> EfficientNet:
    """Build a network whose tensors have shapes and no content: it takes no memory, and running it no work."""
    with torch.device("meta"):
        return build_model(spec, num_classes, in_channels)


def count_params(model: nn.Module) -> int:
    """Return the number of learnable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_macs(model: nn.Module, image: Tensor) -> int:
    """Return the multiply-adds of one forward pass.

    Convolutions, dense layers and products of matrices are counted, as in the paper's "FLOPs" column; BatchNorm and
    pooling, about 1% more, are not. fvcore counts by tracing, which `meta` tensors do not survive; on them torch's own
    counter does it. A test holds the two equal.

    Args:
        model: On the image's device, which may be `meta`; its mode and statistics are left as they are.
        image: One image, (1, C, H, W).
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        count = _counted_by_torch(model, image) if image.is_meta else _counted_by_fvcore(model, image)
    model.train(was_training)
    return count


def _counted_by_fvcore(model: nn.Module, image: Tensor) -> int:
    with warnings.catch_warnings():
        # fvcore rests on torch's tracer, which torch has deprecated.
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
        by_operator = FlopCountAnalysis(model, image).by_operator()
    return int(sum(by_operator.get(name, 0) for name in _COUNTED))


def _counted_by_torch(model: nn.Module, image: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        model(image)
    return int(counter.get_total_flops()) // 2  # a multiplication and an addition count as two
