"""A network as rows of torchvision's MBConvConfig and FusedMBConvConfig, from which its EfficientNet builds it.

torchvision (0.29) rounds hidden channels, and all channels of MBConv stages, to multiples of 8. Its MBConv always has
squeeze-excitation to a quarter of the block's input, its Fused-MBConv never. Its stem reads 3 channels and has stride
2; the file puts another convolution there where that is needed. Head and stem channels are free. It pads symmetrically.
New weights are drawn as torchvision draws them.
"""

from nas.errors import InvalidInputError, invalid
from nas.models.export.network import Network
from nas.spec import ArchSpec, BlockSpec, StageSpec

Row = tuple[str, int, int, int, int, int, int]
"""Name of the class, then its arguments: expand_ratio, kernel, stride, input_channels, out_channels, num_layers."""


def torchvision_rows(spec: ArchSpec) -> list[Row]:
    """Return one row a stage.

    Raises:
        InvalidInputError: If torchvision would build another network, naming the field that it cannot express.
    """
    rows: list[Row] = []
    in_channels = spec.stem_channels
    for number, stage in enumerate(spec.stages, start=1):
        for block in stage.blocks(in_channels):
            _check(number, stage, block)
        kind = "FusedMBConvConfig" if stage.block == "fused" else "MBConvConfig"
        arguments = (stage.expand_ratio, stage.kernel_size, stage.stride, in_channels, stage.out_channels)
        rows.append((kind, *arguments, stage.num_layers))
        in_channels = stage.out_channels
    return rows


def torchvision_file(network: Network) -> str:
    """Return a Python file whose `create(num_classes, in_channels)` builds the network with torchvision.

    Raises:
        InvalidInputError: As `torchvision_rows`, or if the network pads as TensorFlow does.
    """
    spec, options = network.spec, network.options
    if options.padding != "symmetric":
        todo = "torchvision can pad no other way: export the network with --to python or --to timm."
        raise invalid("padding", '"symmetric" for torchvision', options.padding, todo)
    rows = torchvision_rows(spec)
    return _FILE.format(
        summary=spec.summary,
        arch_id=spec.arch_id,
        name=ascii(spec.name),
        rows="\n".join(f"    {kind}({', '.join(map(str, numbers))})," for kind, *numbers in rows),
        stem_channels=spec.stem_channels,
        stem_stride=spec.stem_stride,
        head_channels=spec.head_channels,
        dropout=spec.dropout,
        stochastic_depth=spec.stochastic_depth,
        norm=f"eps={options.norm_eps!r}, momentum={options.norm_momentum!r}",
        num_classes=network.num_classes,
        in_channels=network.in_channels,
    )


def _check(number: int, stage: StageSpec, block: BlockSpec) -> None:
    if block.hidden_channels % 8:
        raise _inexpressible("hidden channels", number, "multiples of 8", block.hidden_channels)
    if stage.block == "fused":
        if stage.se_ratio:
            raise _inexpressible("se_ratio", number, "0 in a fused stage", stage.se_ratio)
        return
    for name, channels in (("input channels", block.in_channels), ("out_channels", block.out_channels)):
        if channels % 8:
            raise _inexpressible(name, number, "a multiple of 8 in an MBConv stage", channels)
    if block.se_channels != block.in_channels // 4:
        raise _inexpressible("se_ratio", number, "0.25 in an MBConv stage", stage.se_ratio)


def _inexpressible(field: str, number: int, rule: str, value: float) -> InvalidInputError:
    todo = "torchvision can build nothing else: change it, or export the network with --to python."
    return invalid(f"{field} of stage {number}", rule, value, todo)


_FILE = '''\
"""{summary}

A network of the EfficientNetV2 family, architecture {arch_id}, for torchvision:

    model = create()
"""

from functools import partial

from torch import nn
from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig

NAME = {name}
STEM_STRIDE = {stem_stride}
# expand_ratio, kernel, stride, input_channels, out_channels, num_layers
STAGES: list[FusedMBConvConfig | MBConvConfig] = [
{rows}
]


def create(num_classes: int = {num_classes}, in_channels: int = {in_channels}) -> EfficientNet:
    """Build the network with new weights."""
    model = EfficientNet(
        STAGES,
        dropout={dropout!r},
        stochastic_depth_prob={stochastic_depth!r},
        num_classes=num_classes,
        norm_layer=partial(nn.BatchNorm2d, {norm}),
        last_channel={head_channels},
    )
    if in_channels != 3 or STEM_STRIDE != 2:  # What torchvision's own stem has.
        stem = nn.Conv2d(in_channels, {stem_channels}, 3, STEM_STRIDE, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out")
        model.features[0][0] = stem
    return model
'''
