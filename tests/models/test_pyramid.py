import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.models import FeatureExtractor, build_model, freeze, get_arch
from tests.strategies import arch_specs, build_options

TINY = ArchSpec(
    8,
    (
        StageSpec("fused", 1, 3, 1, 8, 1),
        StageSpec("fused", 4, 3, 2, 16, 1),
        StageSpec("mbconv", 4, 3, 1, 24, 1),
        StageSpec("mbconv", 4, 3, 2, 32, 1, 0.25),
    ),
    64,
    stem_stride=1,
)


@settings(max_examples=25, deadline=None)
@given(arch_specs(max_channels=16, max_layers=2), build_options(), st.integers(1, 40), st.integers(1, 40))
def test_maps_have_the_shapes_that_the_attributes_say(spec, options, height, width):
    extractor = FeatureExtractor(build_model(spec, 3, in_channels=2, options=options)).eval()
    maps = extractor(torch.randn(2, 2, height, width))
    expected = [
        (2, channels, math.ceil(height / reduction), math.ceil(width / reduction))
        for channels, reduction in zip(extractor.channels, extractor.reductions, strict=True)
    ]
    assert [tuple(found.shape) for found in maps] == expected
    assert extractor.reductions[-1] == spec.total_stride
    assert extractor.channels[-1] == spec.stages[-1].out_channels


def test_maps_are_the_last_of_their_size():
    model = build_model(TINY).eval()
    images = torch.randn(1, 3, 15, 15)
    parts = [images]
    for part in model.features:
        parts.append(part(parts[-1]))
    maps = FeatureExtractor(model).eval()(images)
    assert [torch.equal(found, parts[index]) for found, index in zip(maps, (2, 4, 5), strict=True)] == [True] * 3


def test_the_maps_are_timms():
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        info = timm.create_model("tf_efficientnetv2_s", features_only=True).feature_info
        ours = FeatureExtractor(build_model(get_arch("efficientnet_v2_s")))
    assert list(ours.channels) == info.channels()
    assert list(ours.reductions) == info.reduction()


def test_layers_that_no_level_needs_are_left_out_and_weights_shared():
    model = build_model(TINY)
    extractor = FeatureExtractor(model, levels=[1, 0])
    assert (extractor.levels, extractor.channels, extractor.reductions) == ((0, 1), (8, 24), (1, 2))
    whole = model.state_dict()
    assert {name: value.data_ptr() for name, value in extractor.state_dict().items()} == {
        name: value.data_ptr() for name, value in whole.items() if name.split(".")[1] in "0123" and "features" in name
    }


def test_every_weight_of_an_extractor_learns_and_frozen_ones_stay():
    model = build_model(TINY)
    extractor = FeatureExtractor(model)
    freeze(model, 1)
    extractor.train()
    sum(found.sum() for found in extractor(torch.randn(2, 3, 16, 16))).backward()
    learning = {name.split(".")[1] for name, p in extractor.named_parameters() if p.grad is not None}
    assert learning == {"2", "3", "4"}
    assert not model.features[1][0].training


@pytest.mark.parametrize("levels", [(), (3,), (0, 0), (-1,), (2, 7)])
def test_levels_that_are_not_there(levels):
    with pytest.raises(InvalidInputError, match="`levels` must be different ones among 0, 1, 2"):
        FeatureExtractor(build_model(TINY), levels)
