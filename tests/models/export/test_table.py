import json

from hypothesis import given

from nas import ArchSpec
from nas.complexity import complexity
from nas.models import get_arch
from nas.models.export import Network
from nas.models.export.table import json_file, markdown_file
from tests.models.export.networks import network_of
from tests.strategies import arch_specs


@given(arch_specs())
def test_json_is_read_back(spec):
    found = ArchSpec.from_dict(json.loads(json_file(network_of(spec))))
    assert (found, found.name) == (spec, spec.name)


def test_markdown_shows_what_each_stage_costs():
    spec = get_arch("efficientnet_v2_s")
    page = markdown_file(Network(spec, 1000, 3, 384))
    assert page.startswith("# efficientnet_v2_s\n\n| Stage | Operator |")
    assert "| 0 | Conv3x3 | 2 | 24 | 1 | 192x192 | 696 | 23.9M |" in page
    assert "| 6 | MBConv6, k3x3, SE0.25 | 2 | 256 | 15 | 12x12 |" in page
    cost = complexity(spec, num_classes=1000, in_channels=3, image_size=384)
    assert f"{cost.num_params:,} parameters, {cost.num_macs:,} multiply-adds" in page
