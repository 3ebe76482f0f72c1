"""`FeatureExtractor`: feature maps of several sizes, for detection, segmentation and the like."""

from collections.abc import Sequence

from torch import Tensor, nn

from nas.errors import invalid
from nas.models.builder import EfficientNet


class FeatureExtractor(nn.Module):
    """A network without head and classifier that returns the last feature map of each size.

    It shares its layers with `model`, including their weights, their names (`features.0` is the stem, `features.1` the
    first stage) and whether they are frozen or checkpointed. Layers that no level needs are left out.

    Args:
        model: The network.
        levels: Which maps, by the number of times that the image was halved: level 3 has an eighth of its side. None
            means all that the network has.

    Attributes:
        levels: In ascending order.
        channels: Of each level's map.
        reductions: Image side / map side of each level, 2**level; the map's side is rounded up.

    Raises:
        InvalidInputError: If the network does not have one of the levels.
    """

    def __init__(self, model: EfficientNet, levels: Sequence[int] | None = None) -> None:
        super().__init__()
        last = _last_parts(model)
        chosen = list(last) if levels is None else list(levels)
        if not chosen or len(set(chosen)) < len(chosen) or any(level not in last for level in chosen):
            known = ", ".join(map(str, last))
            raise invalid("levels", f"different ones among {known}", chosen, "The network has no others.")
        self.levels = tuple(sorted(chosen))
        self.channels = tuple(last[level][1] for level in self.levels)
        self.reductions = tuple(2**level for level in self.levels)
        self._parts = {last[level][0] for level in self.levels}
        self.features = model.features[: max(self._parts) + 1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (N, in_channels, H, W) to a map (N, channels, ceil(H / reduction), ceil(W / reduction)) per level."""
        maps = []
        for index, part in enumerate(self.features):
            images = part(images)
            if index in self._parts:
                maps.append(images)
        return maps


def _last_parts(model: EfficientNet) -> dict[int, tuple[int, int]]:
    """Return, for each level, the index in `features` of the last part that has it, and its channels."""
    spec = model.spec
    level = spec.stem_stride - 1
    last = {level: (0, spec.stem_channels)}
    for index, stage in enumerate(spec.stages, start=1):
        level += stage.stride - 1
        last[level] = (index, stage.out_channels)
    return last
