"""A network as timm's architecture definition: block strings and settings from which timm's EfficientNet builds it.

The strings are those of `timm.models._efficientnet_builder.decode_arch_def` (timm 1.0): "cn" a single convolution with
a skip connection, "er" a Fused-MBConv, "ds" an MBConv without expansion, "ir" an MBConv.
"""

from dataclasses import dataclass
from typing import Any

from nas.errors import invalid
from nas.models.export.network import Network
from nas.models.options import DEFAULT_OPTIONS, BuildOptions
from nas.spec import ArchSpec, BlockSpec, StageSpec

_OTHERS = "Change it, or export the network with --to python."


@dataclass(frozen=True, slots=True)
class TimmDefinition:
    """Use it with timm alone, where the stem's stride is 2:

        EfficientNet(decode_arch_def(found.arch_def), act_layer=nn.SiLU, round_chs_fn=int,
                     norm_layer=partial(nn.BatchNorm2d, eps=options.norm_eps, momentum=options.norm_momentum),
                     **found.kwargs)

    Attributes:
        arch_def: One list of block strings a stage.
        kwargs: Further arguments of `timm.models.efficientnet.EfficientNet`, plain values all.
        stem_stride: timm's stem has stride 2; where this is 1, set `model.conv_stem.stride` to (1, 1) afterwards.
    """

    arch_def: list[list[str]]
    kwargs: dict[str, Any]
    stem_stride: int


def timm_definition(spec: ArchSpec, options: BuildOptions = DEFAULT_OPTIONS) -> TimmDefinition:
    """Return the definition from which timm builds the same network: same layers, shapes and order of weights.

    timm draws new weights as the options' init "google", whatever theirs is.

    Raises:
        InvalidInputError: If timm would round a block's hidden or squeezed channels to another number.
    """
    strings: list[list[str]] = []
    in_channels, output_stride = spec.stem_channels, 2
    for number, stage in enumerate(spec.stages, start=1):
        for block in stage.blocks(in_channels):
            _check(number, stage, block)
        strings.append([_block_string(stage)])
        in_channels = stage.out_channels
        output_stride *= stage.stride
    kwargs: dict[str, Any] = {
        "stem_size": spec.stem_channels,
        "num_features": spec.head_channels,
        "fix_stem": True,
        # timm dilates convolutions instead of striding once a network has divided its images' sides by this.
        "output_stride": max(32, output_stride),
        "drop_rate": spec.dropout,
        "drop_path_rate": spec.stochastic_depth,
    }
    if options.padding == "same":
        kwargs["pad_type"] = "same"
    return TimmDefinition(strings, kwargs, spec.stem_stride)


def timm_file(network: Network) -> str:
    """Return a Python file whose `create(num_classes, in_chans)` builds the network with timm.

    Raises:
        InvalidInputError: As `timm_definition`.
    """
    spec, options = network.spec, network.options
    definition = timm_definition(spec, options)
    return _FILE.format(
        summary=spec.summary,
        arch_id=spec.arch_id,
        name=ascii(spec.name),
        arch_def="\n".join(f"    {strings!r}," for strings in definition.arch_def),
        norm=f"eps={options.norm_eps!r}, momentum={options.norm_momentum!r}",
        kwargs="\n".join(f"        {name}={value!r}," for name, value in definition.kwargs.items()),
        num_classes=network.num_classes,
        in_channels=network.in_channels,
        stem="" if spec.stem_stride == 2 else _STEM_OF_STRIDE_1,
    )


def _block_string(stage: StageSpec) -> str:
    expands = stage.expand_ratio > 1
    kind = {("fused", False): "cn", ("fused", True): "er", ("mbconv", False): "ds", ("mbconv", True): "ir"}
    words = [
        kind[stage.block, expands],
        f"r{stage.num_layers}",
        f"k{stage.kernel_size}",
        f"s{stage.stride}",
        f"e{stage.expand_ratio}",
        f"c{stage.out_channels}",
    ]
    if stage.se_ratio:
        words.append(f"se{stage.se_ratio!r}")
    if stage.block == "fused" and not expands:
        words.append("skip")
    return "_".join(words)


def _check(number: int, stage: StageSpec, block: BlockSpec) -> None:
    """Refuse what timm would round: hidden channels to multiples of 8, squeezed ones to the nearest integer."""
    if block.expands and block.hidden_channels % 8:
        rule = "multiples of 8, to which timm rounds them"
        raise invalid(f"hidden channels of stage {number}", rule, block.hidden_channels, _OTHERS)
    squeezed = round(block.hidden_channels * (stage.se_ratio / stage.expand_ratio))
    if block.se_channels and squeezed != block.se_channels:
        raise invalid(
            f"se_ratio of stage {number}",
            f"one that timm rounds as we do, to {block.se_channels} channels of {block.in_channels}, not {squeezed}",
            stage.se_ratio,
            _OTHERS,
        )


_STEM_OF_STRIDE_1 = """\
    # timm's stem halves the images; this network's does not.
    model.conv_stem.stride = (1, 1)
    for level in model.feature_info:
        level["reduction"] //= 2
"""

_FILE = '''\
"""{summary}

A network of the EfficientNetV2 family, architecture {arch_id}, for timm 1.x:

    model = create()
"""

from functools import partial

from timm.models.efficientnet import EfficientNet, decode_arch_def
from torch import nn

NAME = {name}
ARCH_DEF = [
{arch_def}
]


def create(num_classes: int = {num_classes}, in_chans: int = {in_channels}) -> EfficientNet:
    """Build the network with new weights."""
    model = EfficientNet(
        decode_arch_def(ARCH_DEF),
        num_classes=num_classes,
        in_chans=in_chans,
        act_layer=nn.SiLU,
        norm_layer=partial(nn.BatchNorm2d, {norm}),
        round_chs_fn=int,  # Channels stay as they are written above.
{kwargs}
    )
{stem}    return model
'''
