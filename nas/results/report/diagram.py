"""A network as a picture: from its image down to its classifier, each stage a stack of its layers."""

from nas.models.tables import operator
from nas.results.report.colours import BLOCKS, GREY
from nas.spec import ArchSpec

_WIDTH, _PAD = 340, 4
_MAX_BAR, _MIN_BAR = _WIDTH - 2 * _PAD, 10
_LABEL, _GAP = 15, 9
_MAX_STACK = 96


def diagram(spec: ArchSpec, *, widest: int) -> str:
    """Return an SVG element: a bar a layer, coloured by the kind of block, its width by the channels that go out.

    Args:
        spec: The network.
        widest: Channels that fill the width, the same for all networks that are compared.
    """
    size = spec.train_image_size
    parts: list[str] = []
    y = 4.0
    y = _row(parts, y, f"Image, {size} x {size}", "", 0, 0, "", 1)
    size = -(-size // spec.stem_stride)
    y = _row(parts, y, "Conv3x3", _facts(spec.stem_channels, 1, size), spec.stem_channels, 1, GREY, widest)
    for stage in spec.stages:
        size = -(-size // stage.stride)
        label = _facts(stage.out_channels, stage.num_layers, size)
        y = _row(parts, y, operator(stage), label, stage.out_channels, stage.num_layers, BLOCKS[stage.block], widest)
    y = _row(parts, y, "Conv1x1, pooling", _facts(spec.head_channels, 1, size), spec.head_channels, 1, GREY, widest)
    height = round(y - _GAP + 4)
    summary = f"{spec.summary}, {spec.train_image_size} pixels"
    return (
        f'<svg class="network" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{summary}">'
        + "".join(parts)
        + "</svg>"
    )


def _facts(channels: int, layers: int, size: int) -> str:
    return f"{channels} ch x {layers} · {size}²"


def _row(
    parts: list[str], y: float, left: str, right: str, channels: int, layers: int, colour: str, widest: int
) -> float:
    """Append a stage's labels and bars; return where the next one begins."""
    parts.append(f'<text x="{_PAD}" y="{y + 10:.1f}">{left}</text>')
    if right:
        parts.append(f'<text class="right" x="{_WIDTH - _PAD}" y="{y + 10:.1f}">{right}</text>')
    y += _LABEL
    if layers:
        step = min(7.0, _MAX_STACK / layers)
        gap = min(1.0, step / 4)
        width = _MIN_BAR + (_MAX_BAR - _MIN_BAR) * (channels / widest) ** 0.5
        parts += [
            f'<rect x="{_PAD}" y="{y + layer * step:.2f}" width="{width:.1f}" height="{step - gap:.2f}" '
            f'rx="1" fill="{colour}"/>'
            for layer in range(layers)
        ]
        y += layers * step
    return y + _GAP
