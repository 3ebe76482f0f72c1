"""`StartWeights`: what a training starts from, where not from scratch."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.data.class_names import label_map
from nas.data.dataset import Dataset
from nas.errors import InvalidInputError, invalid
from nas.models.builder import EfficientNet, build_model
from nas.models.options import DEFAULT_OPTIONS, BuildOptions
from nas.models.weights import load_weights
from nas.models.weights.match import CLASSIFIER, STEM, match_names
from nas.models.weights.source import read_file
from nas.spec import ArchSpec
from nas.training.weights import FORMAT, load_network

_NUM_DIFFERENCES = 4


@dataclass(frozen=True, slots=True)
class StartWeights:
    """Weights of `nas.train`, torchvision or timm that fit a network, but for its classes and channels.

    Attributes:
        path: Of the file, absolute.
        fingerprint: 16 hexadecimal digits that differ where its content does.
        options: How the network is built that they are of.
        tensors: By our names.
        num_classes: Outputs of the classifier; None where there is none.
        class_names: One name an output; None where the file does not say.
    """

    path: Path
    fingerprint: str
    options: BuildOptions
    tensors: Mapping[str, Tensor]
    num_classes: int | None
    class_names: tuple[str, ...] | None = None

    @classmethod
    def read(cls, path: Path, spec: ArchSpec) -> "StartWeights":
        """Read a file.

        Args:
            path: Of a safetensors file of `nas.train`, or a file that `load_weights` reads.
            spec: The network that is to be trained.

        Raises:
            InvalidInputError: If it cannot be read, or its weights are not those of such a network.
        """
        tensors, metadata = read_file(path)
        options, class_names = DEFAULT_OPTIONS, None
        if metadata.get("format") == FORMAT:
            network = load_network(path)
            _check_same(path, network.model.spec, spec)
            options, class_names = network.model.options, network.class_names
        match = match_names(tensors, spec)
        if match.num_classes is None and not any(name in match.tensors for name in CLASSIFIER):
            match.missing = [name for name in match.missing if name not in CLASSIFIER]  # It starts anew.
        with torch.device("meta"):  # Shapes only.
            own = build_model(spec, match.num_classes or 1, match.in_channels or 3).state_dict()
        try:
            match.check(own)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path} does not fit the network of --arch: {error}") from error
        with path.open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return cls(path.resolve(), fingerprint, options, match.tensors, match.num_classes, class_names)

    @classmethod
    def read_again(cls, kept: Mapping[str, Any], spec: ArchSpec) -> "StartWeights":
        """Read what a training started from that has to begin anew; `kept` is what `to_dict` returned.

        Raises:
            InvalidInputError: If the file is not there any more, or is another by now.
        """
        found = cls.read(Path(kept["path"]), spec)
        if found.fingerprint != kept["fingerprint"]:
            rule = f"the file that the training started from (fingerprint {kept['fingerprint']})"
            todo = f"{found.path} was changed, and there is no checkpoint to go on from: start a new training."
            raise invalid("weights", rule, found.fingerprint, todo)
        return found

    def load_into(self, model: EfficientNet, class_names: Sequence[str]) -> str:
        """Copy them into a network, whose classifier stays as it is where it is for other classes.

        Args:
            model: Of the spec that they were read for, on the CPU.
            class_names: One name an output of `model`; rows of the classifier follow their names.

        Returns:
            What was done, in one line.
        """
        tensors, classifier = self._with_classes(class_names)
        report = load_weights(model, tensors, adapt=True)
        words = [f"Starting from {self.path}: {classifier}"]
        if STEM in report.adapted:
            words.append(f"the first convolution is adapted to {model.state_dict()[STEM].shape[1]}-channel images")
        return "; ".join(words)

    def _with_classes(self, class_names: Sequence[str]) -> tuple[dict[str, Tensor], str]:
        """Return the tensors without a classifier of other classes, and what is said about it."""
        without = {name: tensor for name, tensor in self.tensors.items() if name not in CLASSIFIER}
        count = f"{self.num_classes} classes" if self.num_classes != len(class_names) else "other classes"
        anew = "the classifier starts anew, for it has "
        if self.num_classes is None:
            return without, f"{anew}none"
        if self.num_classes != len(class_names) or (
            self.class_names is not None and {*self.class_names} != {*class_names}
        ):
            return without, f"{anew}{count} and the data have {len(class_names)}"
        order = slice(None) if self.class_names is None else torch.from_numpy(label_map(class_names, self.class_names))
        kept = {name: self.tensors[name][order] for name in CLASSIFIER if name in self.tensors}
        return {**without, **kept}, "the classifier is kept"

    def to_dict(self) -> dict[str, object]:
        """Return what a manifest keeps: plain JSON types."""
        return {"path": str(self.path), "fingerprint": self.fingerprint, "options": self.options.to_dict()}


def make_network(
    spec: ArchSpec, dataset: Dataset, seed: int, start: StartWeights | None, options: BuildOptions | None = None
) -> tuple[EfficientNet, str | None]:
    """Build a network for a data set, on the CPU, and say in a line what it starts from; torch's random numbers begin.

    Args:
        spec: The network.
        dataset: Gives classes and channels.
        seed: Of its initialisation, and of what is drawn after it.
        start: Its weights; None: from scratch, or a checkpoint has them.
        options: How it is built; None: as the weights say, or by default.
    """
    torch.manual_seed(seed)
    options = options or (DEFAULT_OPTIONS if start is None else start.options)
    model = build_model(spec, dataset.num_classes, dataset.in_channels, options=options)
    return model, None if start is None else start.load_into(model, dataset.class_names)


def _check_same(path: Path, theirs: ArchSpec, ours: ArchSpec) -> None:
    """Raise InvalidInputError unless weights of one network are those of the other, whose regularisation may differ."""
    if replace(theirs, dropout=ours.dropout, stochastic_depth=ours.stochastic_depth).arch_id == ours.arch_id:
        return
    found = list(_differences(theirs, ours))
    shown = "; ".join(found[:_NUM_DIFFERENCES])
    more = f" and {len(found) - _NUM_DIFFERENCES} more" if len(found) > _NUM_DIFFERENCES else ""
    rule = f"the network that {path} holds weights of"
    todo = f"They differ in {shown}{more}. Give the arch.json beside the weights."
    raise invalid("arch", rule, ours.name or ours.summary, todo)


def _differences(theirs: ArchSpec, ours: ArchSpec) -> Iterator[str]:
    for name in ("stem_channels", "stem_stride", "head_channels"):
        yield from _difference(name, getattr(theirs, name), getattr(ours, name))
    yield from _difference("number of stages", len(theirs.stages), len(ours.stages))
    for number, (one, other) in enumerate(zip(theirs.stages, ours.stages, strict=False), start=1):
        before, after = asdict(one), asdict(other)
        for name in before:
            yield from _difference(f"{name} of stage {number}", before[name], after[name])


def _difference(name: str, theirs: object, ours: object) -> Iterator[str]:
    if theirs != ours:
        yield f"{name} ({theirs} in the weights, {ours} in --arch)"
