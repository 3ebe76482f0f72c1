"""What each tensor of a network is called: in this toolkit, in torchvision and in timm.

Our names are torchvision's. timm's are those of its `EfficientNet` (`efficientnetv2_*`, `tf_efficientnetv2_*`), where
the blocks of a spec are these classes:

=================================== ========================= ==========================================
block                               timm's class              its layers
=================================== ========================= ==========================================
MBConv                              `InvertedResidual` (ir)   conv_pw, conv_dw, se, conv_pwl
MBConv with expand_ratio 1          `DepthwiseSeparable` (ds) conv_dw, se, conv_pw
Fused-MBConv                        `EdgeResidual` (er)       conv_exp, se where there is one, conv_pwl
Fused-MBConv with expand_ratio 1    `ConvBnAct` (cn)          conv
=================================== ========================= ==========================================

All is derived from the spec; nothing here needs torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nas.spec import ArchSpec, BlockSpec

Layout = Literal["torchvision", "timm"]
"""Whose names a state dict has."""

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, slots=True)
class TensorName:
    """One tensor of a network and its names.

    Attributes:
        place: Stage and block, both from 0; None in stem, head and classifier.
        role: What the tensor does, equal in all networks, such as "stem.conv.weight" or "project.norm.running_var".
        ours: Its name in our state dicts and torchvision's.
        timm: Its name in timm's state dicts.
    """

    place: tuple[int, int] | None
    role: str
    ours: str
    timm: str


def tensor_names(spec: ArchSpec) -> tuple[TensorName, ...]:
    """Return every tensor in the state dict of the network that `spec` describes, in the state dict's order."""
    names = [*_conv_norm(None, "stem", "features.0", "conv_stem", "bn1")]
    in_channels = spec.stem_channels
    for number, stage in enumerate(spec.stages):
        for index, block in enumerate(stage.blocks(in_channels)):
            names.extend(_block(block, (number, index)))
        in_channels = stage.out_channels
    names.extend(_conv_norm(None, "head", f"features.{len(spec.stages) + 1}", "conv_head", "bn2"))
    names.extend(_biased(None, "classifier", "classifier.1", "classifier"))
    return tuple(names)


def torchvision_names(spec: ArchSpec) -> dict[str, str]:
    """Return torchvision's name for each of ours: the same one."""
    return {name.ours: name.ours for name in tensor_names(spec)}


def timm_names(spec: ArchSpec) -> dict[str, str]:
    """Return timm's name for each of ours; no two are equal."""
    return {name.ours: name.timm for name in tensor_names(spec)}


def layout_names(spec: ArchSpec, layout: Layout) -> dict[str, str]:
    """Return the layout's name for each of ours."""
    return timm_names(spec) if layout == "timm" else torchvision_names(spec)


def _block(block: BlockSpec, place: tuple[int, int]) -> Iterator[TensorName]:
    stage, index = place
    ours, timm = f"features.{stage + 1}.{index}.block", f"blocks.{stage}.{index}"
    num_convs = 0
    for layer, (role, theirs) in enumerate(_layers(block)):
        if role == "se":
            yield from _biased(place, "squeeze", f"{ours}.{layer}.fc1", f"{timm}.se.conv_reduce")
            yield from _biased(place, "excite", f"{ours}.{layer}.fc2", f"{timm}.se.conv_expand")
        else:
            num_convs += 1
            yield from _conv_norm(place, role, f"{ours}.{layer}", f"{timm}.{theirs}", f"{timm}.bn{num_convs}")


def _layers(block: BlockSpec) -> list[tuple[str, str]]:
    """Return role and timm's name of each layer of a block, in order."""
    if block.kind == "fused" and not block.expands:
        return [("single", "conv")]
    se = [("se", "se")] if block.se_channels else []
    if block.kind == "fused":
        return [("fused", "conv_exp"), *se, ("project", "conv_pwl")]
    if block.expands:
        return [("expand", "conv_pw"), ("depthwise", "conv_dw"), *se, ("project", "conv_pwl")]
    return [("depthwise", "conv_dw"), *se, ("project", "conv_pw")]


def _conv_norm(place: tuple[int, int] | None, role: str, ours: str, conv: str, norm: str) -> Iterator[TensorName]:
    yield TensorName(place, f"{role}.conv.weight", f"{ours}.0.weight", f"{conv}.weight")
    for leaf in _NORM:
        yield TensorName(place, f"{role}.norm.{leaf}", f"{ours}.1.{leaf}", f"{norm}.{leaf}")


def _biased(place: tuple[int, int] | None, role: str, ours: str, timm: str) -> Iterator[TensorName]:
    for leaf in ("weight", "bias"):
        yield TensorName(place, f"{role}.{leaf}", f"{ours}.{leaf}", f"{timm}.{leaf}")
