"""The two residual units of EfficientNetV2 (Tan & Le 2021, Figure 2), and the layers that they are made of.

Layers and their names follow torchvision's own blocks, so that its state dicts load by name.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from nas.models.checkpointing import run_checkpointed
from nas.models.freezing import Freezable
from nas.models.layers import ConvNormSequence, SqueezeExcitation
from nas.models.options import DEFAULT_OPTIONS, BuildOptions
from nas.models.padding import convolution
from nas.spec import BlockSpec


class ConvNorm(Freezable, ConvNormSequence):
    """Convolution, BatchNorm, and SiLU where `activates`; maps sides of n pixels to ceil(n / stride)."""

    def __init__(
        self,
        options: BuildOptions,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        *,
        activates: bool,
    ) -> None:
        same = options.padding == "same"
        layers: list[nn.Module] = [
            convolution(in_channels, out_channels, kernel_size, stride, groups, same=same),
            nn.BatchNorm2d(out_channels, eps=options.norm_eps, momentum=options.norm_momentum),
        ]
        if activates:
            layers.append(nn.SiLU(inplace=True))
        super().__init__(*layers)


conv_norm_silu = partial(ConvNorm, activates=True)
conv_norm = partial(ConvNorm, activates=False)


def squeeze_excitation(spec: BlockSpec) -> list[nn.Module]:
    """Return a block's squeeze-excitation, a list of one layer, or of none where the block has none."""
    if not spec.se_channels:
        return []
    return [SqueezeExcitation(spec.hidden_channels, spec.se_channels, activation=partial(nn.SiLU, inplace=True))]


class ResidualBlock(Freezable):
    """A chain of layers with a skip connection, and stochastic depth on the chain, where shapes allow one.

    Attributes:
        checkpoints: Whether the block is computed again for its gradient, see `nas.models.checkpointing`.
    """

    def __init__(self, spec: BlockSpec, layers: list[nn.Module], drop_probability: float) -> None:
        super().__init__()
        self.spec = spec
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(drop_probability, "row")
        self.checkpoints = False

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        if self.checkpoints and torch.is_grad_enabled():
            is_random = self.training and self.spec.has_residual and self.stochastic_depth.p > 0
            return run_checkpointed(self._run, self, images, is_random=is_random)
        return self._run(images)

    def _run(self, images: Tensor) -> Tensor:
        out: Tensor = self.block(images)
        if self.spec.has_residual:
            out = self.stochastic_depth(out)
            out += images
        return out


class MBConv(ResidualBlock):
    """1x1 expansion, depthwise convolution, squeeze-excitation, 1x1 linear projection.

    With `expand_ratio` 1 the expansion is left out, as in EfficientNet's first stage.
    """

    def __init__(self, spec: BlockSpec, drop_probability: float = 0.0, options: BuildOptions = DEFAULT_OPTIONS) -> None:
        hidden = spec.hidden_channels
        layers: list[nn.Module] = []
        if spec.expands:
            layers.append(conv_norm_silu(options, spec.in_channels, hidden, kernel_size=1))
        layers.append(conv_norm_silu(options, hidden, hidden, spec.kernel_size, spec.stride, groups=hidden))
        layers.extend(squeeze_excitation(spec))
        layers.append(conv_norm(options, hidden, spec.out_channels, kernel_size=1))
        super().__init__(spec, layers, drop_probability)


class FusedMBConv(ResidualBlock):
    """One regular convolution in place of expansion and depthwise convolution, then the 1x1 linear projection.

    With `expand_ratio` 1 it is a single convolution with its activation, as in the released code.
    """

    def __init__(self, spec: BlockSpec, drop_probability: float = 0.0, options: BuildOptions = DEFAULT_OPTIONS) -> None:
        if spec.expands:
            layers = [
                conv_norm_silu(options, spec.in_channels, spec.hidden_channels, spec.kernel_size, spec.stride),
                *squeeze_excitation(spec),
                conv_norm(options, spec.hidden_channels, spec.out_channels, kernel_size=1),
            ]
        else:
            layers = [conv_norm_silu(options, spec.in_channels, spec.out_channels, spec.kernel_size, spec.stride)]
        super().__init__(spec, layers, drop_probability)
