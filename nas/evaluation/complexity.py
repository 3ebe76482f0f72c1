"""Parameters and multiply-adds of a built network, counted without computing anything where it is on `meta`."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.models import EfficientNet, build_model
from nas.spec import ArchSpec


def build_on_meta(spec: ArchSpec, num_classes: int, in_channels: int) -> EfficientNet:
    """Build a network whose tensors have shapes and no content: it takes no memory, and running it no work."""
    with torch.device("meta"):
        return build_model(spec, num_classes, in_channels)


def count_params(model: nn.Module) -> int:
    """Return the number of learnable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_macs(model: nn.Module, image: Tensor) -> int:
    """Return the multiply-adds of one forward pass.

    Convolutions and dense layers are counted, as in the paper's "FLOPs" column. Torch's counter counts each of their
    multiply-adds as two operations, and neither biases, BatchNorm nor pooling. What it says is what fvcore says.

    Args:
        model: On the image's device, which may be `meta`; its mode and statistics are left as they are.
        image: One image, (1, C, H, W).
    """
    was_training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    model.train(was_training)
    return int(counter.get_total_flops()) // 2
