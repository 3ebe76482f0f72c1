"""The shared model builder: a spec in, a network out. Search, training and export all use this one."""

import math
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from nas.complexity import complexity
from nas.errors import invalid
from nas.models.blocks import FusedMBConv, MBConv, ResidualBlock, conv_norm_silu
from nas.models.options import DEFAULT_OPTIONS, BuildOptions, Init
from nas.spec import ArchSpec

MAX_NUM_PARAMS = 4_000_000_000
"""What `build_model` agrees to build, 16 GB of weights, so that a file from a stranger cannot ask for terabytes."""

_BLOCKS = {"mbconv": MBConv, "fused": FusedMBConv}


class EfficientNet(nn.Module):
    """A network described by an `ArchSpec`.

    Attributes:
        spec: What it was built from.
        options: How it was built.
        features: Stem, one entry per stage, head convolution; names and order as in torchvision.
        classifier: Dropout and the dense layer.
    """

    def __init__(
        self, spec: ArchSpec, num_classes: int = 1000, in_channels: int = 3, options: BuildOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__()
        self.spec = spec
        self.options = options
        stages: list[nn.Module] = []
        index, channels = 0, spec.stem_channels
        for stage in spec.stages:
            blocks = []
            for block in stage.blocks(channels):
                blocks.append(_BLOCKS[block.kind](block, _drop_probability(spec, index), options))
                index += 1
            channels = stage.out_channels
            stages.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(
            conv_norm_silu(options, in_channels, spec.stem_channels, 3, spec.stem_stride),
            *stages,
            conv_norm_silu(options, channels, spec.head_channels, 1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(spec.dropout, inplace=True), nn.Linear(spec.head_channels, num_classes)
        )
        self.apply(partial(_initialise, init=options.init))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, in_channels, H, W) to logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return logits

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Have every block computed again for its gradient, or not: less memory, which large images need, more time.

        Loss, gradients and BatchNorm statistics stay the same.
        """
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.checkpoints = enabled

    def set_regularisation(self, *, dropout: float | None = None, stochastic_depth: float | None = None) -> None:
        """Change how strongly training is regularised, from the next forward pass on; `spec` stays as it is.

        Args:
            dropout: Probability of dropout before the classifier; None means the spec's.
            stochastic_depth: Drop probability that the last block approaches; None means the spec's.

        Raises:
            InvalidInputError: If a probability is out of range; nothing has been changed then.
        """
        spec = _regularised(self.spec, dropout, stochastic_depth)
        head = self.classifier[0]
        assert isinstance(head, nn.Dropout)
        head.p = spec.dropout
        blocks = [module for module in self.modules() if isinstance(module, ResidualBlock)]
        for index, block in enumerate(blocks):
            block.stochastic_depth.p = _drop_probability(spec, index)


def build_model(
    spec: ArchSpec,
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    options: BuildOptions = DEFAULT_OPTIONS,
    dropout: float | None = None,
    stochastic_depth: float | None = None,
) -> EfficientNet:
    """Build the network that `spec` describes, with freshly initialised weights.

    Args:
        spec: The architecture, from a search, from `get_arch` or from `ArchSpec.load`.
        num_classes: Outputs of the classifier, at least 1.
        in_channels: Channels of an image, at least 1.
        options: What a spec leaves open, such as the padding; `get_options` has those of published implementations.
        dropout: Probability of dropout before the classifier; None means the spec's.
        stochastic_depth: Drop probability that the last block approaches; None means the spec's.

    Raises:
        InvalidInputError: If a number is out of range or the network has more than `MAX_NUM_PARAMS` parameters.
    """
    for name, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise invalid(name, "an integer of at least 1", value, "Correct the value.")
    if not isinstance(options, BuildOptions):
        raise invalid("options", "BuildOptions", options, "Make them with BuildOptions(...) or get_options(name).")
    spec = _regularised(spec, dropout, stochastic_depth)
    num_params = complexity(spec, num_classes=num_classes, in_channels=in_channels).num_params
    if num_params > MAX_NUM_PARAMS:
        raise invalid(
            "architecture", f"of at most {MAX_NUM_PARAMS:,} parameters", num_params, "Make it narrower or shallower."
        )
    return EfficientNet(spec, num_classes, in_channels, options)


def _regularised(spec: ArchSpec, dropout: float | None, stochastic_depth: float | None) -> ArchSpec:
    return replace(
        spec,
        dropout=spec.dropout if dropout is None else dropout,
        stochastic_depth=spec.stochastic_depth if stochastic_depth is None else stochastic_depth,
    )


def _drop_probability(spec: ArchSpec, index: int) -> float:
    """Linear in the block's index, from 0 for the first (released code; the last one stays below the limit)."""
    return spec.stochastic_depth * index / spec.num_blocks


def _initialise(module: nn.Module, init: Init) -> None:
    """The released code's initialisation (effnetv2_model.py): normal with variance 2 / fan_out, dense uniform."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        if init == "google":
            fan_out //= module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        bound = 1.0 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)
