"""The two residual units of EfficientNetV2 (Tan & Le 2021, Figure 2), on torchvision's operators.

Layers and their names follow torchvision's own blocks, so that its state dicts load by name.
"""

from functools import partial

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, StochasticDepth

from nas.models.layers import ConvNormSequence, SqueezeExcitation
from nas.spec import BlockSpec


class ConvNormActivation(ConvNormSequence, Conv2dNormActivation):  # type: ignore[misc]
    """Convolution, BatchNorm and SiLU or nothing, with torchvision's names."""


# The released code's BatchNorm: epsilon 1e-3 and momentum 0.9 in Keras' terms. (The paper's text says 0.99.)
batch_norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.1)
conv_norm_silu = partial(ConvNormActivation, norm_layer=batch_norm, activation_layer=nn.SiLU)
conv_norm = partial(ConvNormActivation, norm_layer=batch_norm, activation_layer=None)


class ResidualBlock(nn.Module):
    """A chain of layers with a skip connection, and stochastic depth on the chain, where shapes allow one."""

    def __init__(self, spec: BlockSpec, layers: list[nn.Module], drop_probability: float) -> None:
        super().__init__()
        self.spec = spec
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(drop_probability, "row")

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.block(images)
        if self.spec.has_residual:
            out = self.stochastic_depth(out)
            out += images
        return out


class MBConv(ResidualBlock):
    """1x1 expansion, depthwise convolution, squeeze-excitation, 1x1 linear projection.

    With `expand_ratio` 1 the expansion is left out, as in EfficientNet's first stage.
    """

    def __init__(self, spec: BlockSpec, drop_probability: float = 0.0) -> None:
        hidden = spec.hidden_channels
        layers: list[nn.Module] = []
        if spec.expands:
            layers.append(conv_norm_silu(spec.in_channels, hidden, kernel_size=1))
        layers.append(conv_norm_silu(hidden, hidden, spec.kernel_size, spec.stride, groups=hidden))
        layers.extend(_squeeze_excitation(spec))
        layers.append(conv_norm(hidden, spec.out_channels, kernel_size=1))
        super().__init__(spec, layers, drop_probability)


class FusedMBConv(ResidualBlock):
    """One regular convolution in place of expansion and depthwise convolution, then the 1x1 linear projection.

    With `expand_ratio` 1 it is a single convolution with its activation, as in the released code.
    """

    def __init__(self, spec: BlockSpec, drop_probability: float = 0.0) -> None:
        if spec.expands:
            layers: list[nn.Module] = [
                conv_norm_silu(spec.in_channels, spec.hidden_channels, spec.kernel_size, spec.stride),
                *_squeeze_excitation(spec),
                conv_norm(spec.hidden_channels, spec.out_channels, kernel_size=1),
            ]
        else:
            layers = [conv_norm_silu(spec.in_channels, spec.out_channels, spec.kernel_size, spec.stride)]
        super().__init__(spec, layers, drop_probability)


def _squeeze_excitation(spec: BlockSpec) -> list[nn.Module]:
    if not spec.se_channels:
        return []
    return [SqueezeExcitation(spec.hidden_channels, spec.se_channels, activation=partial(nn.SiLU, inplace=True))]
