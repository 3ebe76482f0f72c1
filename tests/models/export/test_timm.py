import pytest
import torch

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.models import get_arch
from nas.models.export.timm import timm_definition, timm_file
from tests.models.export.networks import COMMON, network_of, run


def test_block_strings_of_the_published_s():
    found = timm_definition(get_arch("efficientnet_v2_s"))
    assert found.arch_def == [
        ["cn_r2_k3_s1_e1_c24_skip"],
        ["er_r4_k3_s2_e4_c48"],
        ["er_r4_k3_s2_e4_c64"],
        ["ir_r6_k3_s2_e4_c128_se0.25"],
        ["ir_r9_k3_s1_e6_c160_se0.25"],
        ["ir_r15_k3_s2_e6_c256_se0.25"],
    ]
    assert (found.kwargs["stem_size"], found.kwargs["num_features"], found.stem_stride) == (24, 1280, 2)


def test_the_definition_builds_without_the_file():
    efficientnet = pytest.importorskip("timm.models.efficientnet")
    found = timm_definition(COMMON)
    model = efficientnet.EfficientNet(
        efficientnet.decode_arch_def(found.arch_def), act_layer=torch.nn.SiLU, round_chs_fn=int, **found.kwargs
    )
    ours = network_of(COMMON, num_classes=1000).build()
    assert [t.shape for t in model.state_dict().values()] == [t.shape for t in ours.state_dict().values()]


@pytest.mark.parametrize(("stem_stride", "strided"), [(2, 6), (1, 7), (1, 2)])
def test_strides_are_kept_however_many_there_are(stem_stride, strided):
    """timm turns strides into dilation beyond its output_stride, and reports what each level is reduced by."""
    pytest.importorskip("timm")
    stages = tuple(StageSpec("fused", 1, 3, 2, 8, 1) for _ in range(strided))
    spec = ArchSpec(8, stages, 8, stem_stride=stem_stride)
    model = run(timm_file(network_of(spec))).create().eval()
    features = model.forward_features(torch.randn(1, 3, 256, 256))
    assert features.shape[-1] == 256 // spec.total_stride
    assert model.feature_info[-1]["reduction"] == spec.total_stride


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (StageSpec("mbconv", 3, 3, 1, 12, 1, se_ratio=0.25), "`hidden channels of stage 1` must be multiples of 8"),
        (StageSpec("fused", 3, 3, 1, 8, 1), "`hidden channels of stage 1` must be multiples of 8.* got 36"),
        (StageSpec("mbconv", 2, 3, 1, 8, 1, se_ratio=0.3), "`se_ratio of stage 1` must be .* to 3 .* of 12, not 4"),
    ],
)
def test_what_timm_would_round_is_refused(stage, message):
    with pytest.raises(InvalidInputError, match=message):
        timm_definition(ArchSpec(12, (stage,), 8))
