import pytest
import torchvision
from torchvision.models import efficientnet

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.models import get_arch
from nas.models.export.torchvision import torchvision_file, torchvision_rows
from tests.models.export.networks import network_of, run


@pytest.mark.parametrize("size", ["s", "m", "l"])
def test_rows_are_torchvisions_own(size):
    name = f"efficientnet_v2_{size}"
    theirs, last_channel = efficientnet._efficientnet_conf(name)
    spec = get_arch(name)
    ours = run(torchvision_file(network_of(spec))).STAGES
    assert ours == theirs
    assert spec.head_channels == last_channel


def test_the_stem_is_torchvisions_own_where_it_can_be():
    module = run(torchvision_file(network_of(get_arch("efficientnet_v2_b0"))))
    model = module.create()
    assert isinstance(model, torchvision.models.EfficientNet)
    assert model.features[0][0].stride == (2, 2)
    assert module.create(in_channels=1).features[0][0].weight.shape == (32, 1, 3, 3)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            StageSpec("fused", 2, 3, 1, 8, 1, se_ratio=0.25),
            "`se_ratio of stage 1` must be 0 in a fused stage, got 0.25",
        ),
        (StageSpec("mbconv", 2, 3, 1, 8, 1), "`se_ratio of stage 1` must be 0.25 in an MBConv stage, got 0.0"),
        (StageSpec("mbconv", 2, 3, 1, 8, 1, se_ratio=0.5), "`se_ratio of stage 1` must be 0.25"),
        (StageSpec("mbconv", 2, 3, 1, 12, 1, se_ratio=0.25), "`out_channels of stage 1` must be a multiple of 8"),
        (StageSpec("fused", 1, 3, 1, 12, 2), "`hidden channels of stage 1` must be multiples of 8, got 12"),
    ],
)
def test_what_torchvision_cannot_build_is_refused_by_name(stage, message):
    with pytest.raises(InvalidInputError, match=message):
        torchvision_rows(ArchSpec(16, (stage,), 8))


def test_channels_into_an_mbconv_stage_are_multiples_of_8():
    spec = ArchSpec(12, (StageSpec("mbconv", 2, 3, 1, 16, 1, se_ratio=0.25),), 8)
    with pytest.raises(InvalidInputError, match=r"`input channels of stage 1` must be a multiple of 8 .* got 12"):
        torchvision_rows(spec)
