"""Parameters and multiply-adds of a built network, counted with fvcore."""

import logging
import warnings

import torch
from torch import Tensor, nn

_COUNTED = ("conv", "linear")


def count_params(model: nn.Module) -> int:
    """Return the number of learnable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_macs(model: nn.Module, image: Tensor) -> int:
    """Return the multiply-adds of one forward pass.

    Convolutions and dense layers are counted, as in the paper's "FLOPs" column; fvcore would add about 1% for
    BatchNorm and pooling.

    Args:
        model: On the image's device; its mode and statistics are left as they are.
        image: One image, (1, C, H, W).
    """
    with warnings.catch_warnings():
        # fvcore rests on torch's tracer, which torch has deprecated.
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        was_training = model.training
        model.eval()
        logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
        with torch.no_grad():
            by_operator = FlopCountAnalysis(model, image).by_operator()
        model.train(was_training)
    return int(sum(by_operator.get(name, 0) for name in _COUNTED))
