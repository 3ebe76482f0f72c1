from xml.etree import ElementTree

import pytest

from nas.models import get_arch
from nas.results.report.colours import BLOCKS
from nas.results.report.diagram import diagram


@pytest.mark.parametrize("name", ["efficientnet_v2_s", "efficientnet_v2_l"])
def test_a_diagram_has_a_bar_a_layer_and_the_numbers_of_each_stage(name):
    spec = get_arch(name)
    svg = ElementTree.fromstring(diagram(spec, widest=spec.head_channels))
    bars = svg.findall("rect")
    assert len(bars) == spec.num_blocks + 2
    fused = sum(stage.num_layers for stage in spec.stages if stage.block == "fused")
    assert sum(bar.get("fill") == BLOCKS["fused"] for bar in bars) == fused
    texts = [text.text for text in svg.findall("text")]
    assert texts[0] == f"Image, {spec.train_image_size} x {spec.train_image_size}"
    for stage in spec.stages:
        assert any(text.startswith(f"{stage.out_channels} ch x {stage.num_layers} ") for text in texts)
    side = -(-spec.train_image_size // spec.total_stride)
    assert texts[-1].endswith(f"· {side}²")
    _, _, width, height = map(float, svg.get("viewBox").split())
    for bar in bars:
        assert float(bar.get("height")) > 0
        assert float(bar.get("x")) + float(bar.get("width")) <= width
        assert float(bar.get("y")) + float(bar.get("height")) <= height
