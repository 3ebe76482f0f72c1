"""Weights from a network of another architecture, as far as the two overlap: for scaling up and for warm starts."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.models.builder import EfficientNet, build_model
from nas.models.weights.layouts import TensorName, tensor_names
from nas.models.weights.load import adapt_input_channels
from nas.models.weights.match import CLASSIFIER, STEM, match_names
from nas.models.weights.source import Source, read_source
from nas.spec import ArchSpec


@dataclass(frozen=True, slots=True)
class InheritReport:
    """What `inherit_weights` did.

    Attributes:
        num_full: Tensors of the network of which every number was inherited.
        num_partial: Tensors of which some were.
        num_untouched: Tensors that the network keeps as it had them.
        inherited_fraction: Inherited parameters / the network's parameters, from 0 to 1. BatchNorm's statistics are
            inherited too but do not count as parameters.
        zeroed: Names of the BatchNorms that were set to zero, so that their blocks start as the identity.
    """

    num_full: int
    num_partial: int
    num_untouched: int
    inherited_fraction: float
    zeroed: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line."""
        counts = f"{self.num_full} tensors in full, {self.num_partial} in part, {self.num_untouched} not at all"
        zeroed = f"; {len(self.zeroed)} extra blocks start as the identity" if self.zeroed else ""
        return f"inherited {self.inherited_fraction:.1%} of the parameters ({counts}){zeroed}"


def inherit_weights(
    model: EfficientNet,
    source: EfficientNet | tuple[Source, ArchSpec],
    *,
    zero_init_extra: bool = False,
) -> InheritReport:
    """Copy into `model` what a network of another architecture has in the same place.

    Tensors belong together that have the same stage, the same block in it and the same role: expansion, depthwise
    convolution, fused convolution, squeeze-excitation, projection, each with its BatchNorm and the statistics of that.
    So blocks of different kinds share at most squeeze-excitation and projection. Of such a pair the first channels
    that both have are copied, and the centre of the kernels; a larger kernel is zero around it. Stages and blocks that
    only `model` has keep their initial values. The first convolution follows `adapt_input_channels` where images have
    other channels, and the classifier is inherited only for the same number of classes.

    Args:
        model: The network to start, from `build_model`.
        source: The network to inherit from, or its weights, as in `load_weights`, and its spec.
        zero_init_extra: Set weight and bias of the last BatchNorm to zero in residual blocks that only `model` has.
            They are the identity then and learn from there. Where depth is all that grows, and no stage is added,
            `model` computes the same function as the source.

    Raises:
        InvalidInputError: If weights cannot be read or are not those of the spec; nothing is changed then.
    """
    spec, theirs = _source_state(source)
    state = model.state_dict()
    names = tensor_names(model.spec)
    sources = {(name.place, name.role): theirs[name.ours] for name in tensor_names(spec) if name.ours in theirs}
    if theirs[CLASSIFIER[0]].shape[0] != state[CLASSIFIER[0]].shape[0]:
        sources = {key: tensor for key, tensor in sources.items() if not key[1].startswith("classifier.")}
    copied = {
        name.ours: _copy_overlap(sources[name.place, name.role], state[name.ours], is_stem=name.ours == STEM)
        for name in names
        if (name.place, name.role) in sources
    }
    zeroed = _zero_extra(model, spec, names) if zero_init_extra else ()
    num_full = sum(count == state[name].numel() for name, count in copied.items())
    num_params = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return InheritReport(
        num_full=num_full,
        num_partial=len(copied) - num_full,
        num_untouched=len(state) - len(copied),
        inherited_fraction=sum(copied.get(name, 0) for name in num_params) / sum(num_params.values()),
        zeroed=zeroed,
    )


def _source_state(source: EfficientNet | tuple[Source, ArchSpec]) -> tuple[ArchSpec, Mapping[str, Tensor]]:
    """Return the spec to inherit from and its weights under our names, checked."""
    if isinstance(source, EfficientNet):
        return source.spec, source.state_dict()
    weights, spec = source
    match = match_names(read_source(weights)[0], spec)
    with torch.device("meta"):  # Shapes only.
        match.check(build_model(spec, match.num_classes or 1000, match.in_channels or 3).state_dict())
    return spec, match.tensors


@torch.no_grad()
def _copy_overlap(source: Tensor, target: Tensor, *, is_stem: bool) -> int:
    """Copy the channels and the kernel's centre that both have; return how many numbers were inherited."""
    if is_stem:
        source = adapt_input_channels(source, target.shape[1])
    channels = tuple(slice(min(pair)) for pair in zip(source.shape[:2], target.shape[:2], strict=True))
    ours, theirs = target[channels], source[channels]
    if target.ndim == 4:
        if target.shape[-1] > source.shape[-1]:
            ours.zero_()
        ours, theirs = _centre(ours, theirs.shape[-1]), _centre(theirs, ours.shape[-1])
    ours.copy_(theirs)
    return ours.numel()


def _centre(weight: Tensor, size: int) -> Tensor:
    """Return the middle of a weight's kernels, at most `size` a side; kernels have an odd size."""
    margin = max(0, weight.shape[-1] - size) // 2
    inner = slice(margin, weight.shape[-1] - margin)
    return weight[..., inner, inner]


@torch.no_grad()
def _zero_extra(model: EfficientNet, spec: ArchSpec, names: tuple[TensorName, ...]) -> tuple[str, ...]:
    """Make the identity of residual blocks that the network of `spec` lacks; return their last BatchNorms."""
    state = model.state_dict()
    blocks = iter(model.spec.blocks())
    depths = [stage.num_layers for stage in spec.stages]
    zeroed = []
    last = {name.place: name.ours for name in names if name.place and name.role.endswith(".norm.weight")}
    for (stage, index), weight in last.items():
        is_extra = stage >= len(depths) or index >= depths[stage]
        if next(blocks).has_residual and is_extra:
            norm = weight.removesuffix(".weight")
            state[f"{norm}.weight"].zero_()
            state[f"{norm}.bias"].zero_()
            zeroed.append(norm)
    return tuple(zeroed)
