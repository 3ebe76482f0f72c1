"""A network as block strings of the released code (google/automl, efficientnetv2/effnetv2_configs.py), and back.

"r2_k3_s1_e4_i24_o48_c1" are 2 layers with kernels of 3, the first of stride 1, that expand 24 channels fourfold and end
in 48; c1 says Fused-MBConv, se0.25 squeeze-excitation relative to a block's input.
"""

import re
from collections.abc import Sequence

from nas.errors import InvalidInputError, invalid
from nas.models.export.network import Network
from nas.spec import ArchSpec, StageSpec


def automl_blocks(spec: ArchSpec) -> list[str]:
    """Return one block string a stage. They say all of the stages, and the stem's channels."""
    strings: list[str] = []
    in_channels = spec.stem_channels
    for stage in spec.stages:
        words = [
            f"r{stage.num_layers}",
            f"k{stage.kernel_size}",
            f"s{stage.stride}",
            f"e{stage.expand_ratio}",
            f"i{in_channels}",
            f"o{stage.out_channels}",
        ]
        if stage.se_ratio:
            words.append(f"se{stage.se_ratio!r}")
        if stage.block == "fused":
            words.append("c1")
        strings.append("_".join(words))
        in_channels = stage.out_channels
    return strings


def parse_automl_blocks(strings: Sequence[str], *, head_channels: int = 1280, stem_stride: int = 2) -> ArchSpec:
    """Return the network that block strings describe; the inverse of `automl_blocks`.

    Args:
        strings: One a stage, at least one.
        head_channels: Output channels of the head; the strings do not say them.
        stem_stride: The released code's is 2.

    Raises:
        InvalidInputError: If a string is not one, or a stage's input is not what the one before it puts out.
    """
    if not strings:
        raise invalid("block strings", "at least one", list(strings), "Give one a stage.")
    stages: list[StageSpec] = []
    stem_channels = in_channels = 0
    for number, string in enumerate(strings, start=1):
        inputs, stage = _parse(number, string)
        if number == 1:
            stem_channels = inputs
        elif inputs != in_channels:
            rule = f"i{in_channels}, what stage {number - 1} puts out"
            raise invalid(f"block string {number}", rule, string, "Correct the table.")
        stages.append(stage)
        in_channels = stage.out_channels
    return ArchSpec(stem_channels, tuple(stages), head_channels, stem_stride=stem_stride)


def automl_file(network: Network) -> str:
    """Return a Python file of plain data: the block strings, and the settings of hparams.py that go with them."""
    spec, options = network.spec, network.options
    return _FILE.format(
        summary=spec.summary,
        arch_id=spec.arch_id,
        name=ascii(spec.name),
        blocks="\n".join(f'    "{string}",' for string in automl_blocks(spec)),
        head_channels=spec.head_channels,
        dropout=spec.dropout,
        survival=1 - spec.stochastic_depth,
        norm_momentum=1 - options.norm_momentum,
        norm_eps=options.norm_eps,
        padding=_SYMMETRIC if options.padding == "symmetric" else "",
        num_classes=network.num_classes,
        train_size=spec.train_image_size,
        eval_size=spec.eval_image_size or spec.train_image_size,
        stem="" if spec.stem_stride == 2 else _STEM_OF_STRIDE_1,
    )


def _parse(number: int, string: str) -> tuple[int, StageSpec]:
    """Return a stage's input channels and the stage."""
    found = _BLOCK.fullmatch(string) if isinstance(string, str) else None
    if found is None:
        raise invalid(f"block string {number}", "like r2_k3_s1_e4_i24_o48_se0.25_c1", string, "Correct it.")
    layers, kernel, stride, expand, inputs, outputs = (int(found[key]) for key in "rkseio")
    try:
        stage = StageSpec(
            block="fused" if found["c"] == "1" else "mbconv",
            expand_ratio=expand,
            kernel_size=kernel,
            stride=stride,
            out_channels=outputs,
            num_layers=layers,
            se_ratio=float(found["se"] or 0),
        )
    except InvalidInputError as error:
        raise InvalidInputError(f"block string {number}: {error}") from error
    return inputs, stage


_INTEGERS = "_".join(f"{key}(?P<{key}>[0-9]{{1,5}})" for key in "rkseio")
_BLOCK = re.compile(_INTEGERS + r"(?:_se(?P<se>[0-9]+(?:\.[0-9]+)?(?:e-[0-9]+)?))?(?:_c(?P<c>[01]))?")

_SYMMETRIC = """\
# The network pads symmetrically. The released code pads as TensorFlow does ("same"), so at even image sizes the same
# weights give slightly other logits there.
"""

_STEM_OF_STRIDE_1 = """\
# The stem of this network has stride 1. The released code has strides=2 written into the class Stem
# (effnetv2_model.py): change it there, else it builds another network.
STEM_STRIDE = 1
"""

_FILE = '''\
"""{summary}

A network of the EfficientNetV2 family, architecture {arch_id}, as block strings for google/automl's code:

    config = copy.deepcopy(hparams.base_config)
    config.override(dict(model=dict(blocks_args=BlockDecoder().decode(BLOCKS), **MODEL), train=TRAIN, eval=EVAL))
"""

NAME = {name}
BLOCKS = [
{blocks}
]
MODEL = {{
    "num_classes": {num_classes},
    "feature_size": {head_channels},
    "dropout_rate": {dropout!r},
    "survival_prob": {survival!r},
    "bn_momentum": {norm_momentum!r},
    "bn_epsilon": {norm_eps!r},
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    # Channels stay as they are written.
    "depth_divisor": 1,
    "min_depth": 1,
}}
TRAIN = {{"isize": {train_size}}}
EVAL = {{"isize": {eval_size}}}
{padding}{stem}'''
