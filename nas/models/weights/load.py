"""Weights into a network, from torchvision's state dicts, timm's and our own, by name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from nas.errors import did_you_mean, invalid
from nas.models.builder import EfficientNet
from nas.models.weights.layouts import Layout
from nas.models.weights.match import CLASSIFIER, STEM, Match, listed, match_names
from nas.models.weights.source import Source, read_source

Adaptable = Literal["stem", "classifier"]
"""What may differ from the network where the caller asks for it."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What `load_weights` did; names are ours.

    Attributes:
        layout: Whose names the source has.
        entry: The checkpoint's entry that the weights were taken from; None where the source was the state dict itself.
        loaded: Tensors copied as they were.
        adapted: Tensors copied after a change of their shape.
        left: Tensors that the network keeps as it had them.
    """

    layout: Layout
    entry: str | None
    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line."""
        parts = [f"loaded {len(self.loaded)} tensors in the layout of {self.layout}"]
        parts += [f"from {self.entry!r}"] if self.entry else []
        parts += [f"adapted {listed(self.adapted)}"] if self.adapted else []
        parts += [f"left {listed(self.left)}"] if self.left else []
        return ", ".join(parts)


def load_weights(
    model: EfficientNet,
    source: Source,
    *,
    layout: Layout | Literal["auto"] = "auto",
    adapt: bool | Collection[Adaptable] = False,
) -> LoadReport:
    """Copy weights and BatchNorm statistics into `model`; either all fit, or nothing is changed.

    What no name or shape tells: weights ported from TensorFlow (timm's `tf_*`) were trained with "same" padding, and
    timm's `efficientnetv2_rw_*` with a BatchNorm epsilon of 1e-5.

    Args:
        model: A network from `build_model`, outside of any wrapper.
        source: A state dict; a checkpoint with one under "state_dict_ema", "model_ema", "state_dict" or "model", the
            first of these that is there; or the path of a safetensors file or a torch file. Of torch files only tensors
            and plain values are read; one with code in it is refused. "module." and "_orig_mod." before all names are
            taken off.
        layout: Whose names the source has; "auto" finds out.
        adapt: What may have another shape than in `model`; True means both.
            "stem": the first convolution is adapted to another number of input channels; see `adapt_input_channels`.
            "classifier": where the number of classes differs, or the source has no classifier, `model` keeps its own.

    Raises:
        InvalidInputError: If the source cannot be read, or tensors are missing, unexpected or of other shapes; the
            message lists them. `num_batches_tracked`, which nothing computes with, may be missing.
    """
    parts = _adapted_parts(adapt)
    tensors, entry = read_source(source)
    match = match_names(tensors, model.spec, layout)
    state = model.state_dict()
    adapted = _adapt_stem(match, state[STEM]) if "stem" in parts else ()
    if "classifier" in parts:
        _leave_classifier(match, state)
    match.check(state, advice=[part for part in get_args(Adaptable) if part not in parts])
    model.load_state_dict({**state, **match.tensors})
    return LoadReport(
        layout=match.layout,
        entry=entry,
        loaded=tuple(name for name in state if name in match.tensors and name not in adapted),
        adapted=adapted,
        left=tuple(name for name in state if name not in match.tensors),
    )


def adapt_input_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Return a first convolution's weight (out, old, k, k) for images of `in_channels` channels.

    For one channel, weights are summed over channels: a grey image gets the answer that it got as RGB. For more, the
    channels are repeated in order (RGB to four: RGBR) and scaled by old / new, so that answers keep their size. This is
    timm's rule; for equal numbers nothing changes.
    """
    old = weight.shape[1]
    if in_channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(in_channels) % old] * (old / in_channels)


def _adapted_parts(adapt: bool | Collection[Adaptable]) -> tuple[Adaptable, ...]:
    known: tuple[Adaptable, ...] = get_args(Adaptable)
    if isinstance(adapt, bool):
        return known if adapt else ()
    unknown = [part for part in ((adapt,) if isinstance(adapt, str) else adapt) if part not in known]
    if isinstance(adapt, str) or unknown:
        raise invalid("adapt", 'a bool or a list of "stem" and "classifier"', adapt, did_you_mean(None, known))
    return tuple(adapt)


def _adapt_stem(match: Match, ours: Tensor) -> tuple[str, ...]:
    """Change the source's first convolution to the input channels of `ours`; return the names changed."""
    weight = match.tensors.get(STEM)
    if weight is None or weight.ndim != ours.ndim or weight.shape[1] in (0, ours.shape[1]):
        return ()
    match.tensors[STEM] = adapt_input_channels(weight, ours.shape[1])
    return (STEM,)


def _leave_classifier(match: Match, state: Mapping[str, Tensor]) -> None:
    """Take the classifier out of the match if the source's is for other classes, or there is none."""
    found = [(match.tensors[name], state[name]) for name in CLASSIFIER if name in match.tensors]
    other_classes = all(t.shape[:1] != own.shape[:1] and t.shape[1:] == own.shape[1:] for t, own in found)
    if len(found) != 1 and other_classes:
        match.tensors = {name: tensor for name, tensor in match.tensors.items() if name not in CLASSIFIER}
        match.missing = [name for name in match.missing if name not in CLASSIFIER]
