from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import ArchSpec, StageSpec
from nas.complexity import complexity
from nas.models import get_arch
from nas.models.scaling import scale_family
from nas.models.zoo import round_channels, round_layers
from nas.spec import MAX_CHANNELS, MAX_LAYERS, MAX_STAGES
from tests.strategies import arch_specs

PUBLISHED = {size: get_arch(f"efficientnet_v2_{size.lower()}") for size in "SML"}


def stage(num_layers: int = 1, out_channels: int = 16, stride: int = 1) -> StageSpec:
    return StageSpec("mbconv", 4, 3, stride, out_channels, num_layers, se_ratio=0.25)


def test_s_is_the_network_itself():
    family = scale_family(PUBLISHED["S"])
    assert list(family) == ["S", "M", "L"]
    assert family["S"] == PUBLISHED["S"]
    assert [spec.name for spec in family.values()] == ["S", "M", "L"]


@pytest.mark.parametrize("size", ["M", "L"])
def test_published_m_and_l_follow_from_published_s(size):
    found, published = scale_family(PUBLISHED["S"])[size], PUBLISHED[size]
    assert [s.num_layers for s in found.stages] == [s.num_layers for s in published.stages]
    for name in (
        "stem_channels",
        "head_channels",
        "dropout",
        "stochastic_depth",
        "train_image_size",
        "eval_image_size",
    ):
        assert getattr(found, name) == getattr(published, name)
    for ours, theirs in zip(found.stages, published.stages, strict=True):
        for name in ("block", "expand_ratio", "kernel_size", "stride", "se_ratio"):
            assert getattr(ours, name) == getattr(theirs, name)


def test_published_widths_follow_with_exactly_these_exceptions():
    family = scale_family(PUBLISHED["S"])
    differing = {
        (size, number): (theirs.out_channels, ours.out_channels)
        for size in ("M", "L")
        for number, (ours, theirs) in enumerate(zip(family[size].stages, PUBLISHED[size].stages, strict=True), start=1)
        if ours.out_channels != theirs.out_channels
    }
    assert differing == {
        ("M", 4): (160, 144),
        ("M", 6): (304, 296),
        ("M", 7): (512, 488),
        ("L", 4): (192, 184),
        ("L", 6): (384, 368),
        ("L", 7): (640, 616),
    }


@given(st.integers(1, 40), st.integers(1, 60))
def test_a_whole_base_is_recovered(base_layers, eighths):
    base_channels = 8 * eighths
    first = stage(round_layers(base_layers, 1.8), round_channels(base_channels, 1.4))
    family = scale_family(ArchSpec(8, (first, stage(), stage()), 8))
    for size, width, depth in (("M", "1.6", "2.2"), ("L", "2", "3.1")):
        found = family[size].stages[0]
        assert found.num_layers == round_layers(base_layers, Fraction(depth))
        assert found.out_channels == max(round_channels(base_channels, Fraction(width)), first.out_channels)


@given(arch_specs(max_stages=6, max_channels=200, max_layers=20))
def test_no_size_is_smaller_than_the_one_before(spec):
    family = list(scale_family(spec).values())
    for small, large in pairwise(family):
        for ours, theirs in zip(small.stages, large.stages, strict=False):
            assert ours.num_layers <= theirs.num_layers
            assert ours.out_channels <= theirs.out_channels
        costs = [complexity(s, num_classes=10, in_channels=3) for s in (small, large)]
        assert costs[0].num_params <= costs[1].num_params
        assert costs[0].num_macs <= costs[1].num_macs
        assert small.stem_channels <= large.stem_channels
        assert small.dropout <= large.dropout < 1
        assert small.train_image_size <= large.train_image_size
        assert (small.eval_image_size or 0) <= (large.eval_image_size or 0)
        if spec.eval_image_size is not None and spec.eval_image_size >= spec.train_image_size:
            assert large.eval_image_size >= large.train_image_size
        assert large.total_stride == spec.total_stride


@pytest.mark.parametrize("layers", [(1,), (1, 1), (1, 1, 1)])
def test_shallow_networks_grow_in_proportion(layers):
    # 1 layer times 2.2 / 1.8 is nearest to 1, times 3.1 / 1.8 to 2; a stage of a quarter of that is nearest to none.
    family = scale_family(ArchSpec(8, tuple(stage(n) for n in layers), 64))
    assert [s.num_layers for s in family["M"].stages] == [1] * len(layers)
    assert [s.num_layers for s in family["L"].stages] == [2] * len(layers)


def test_a_narrow_neck_before_a_wide_last_stage_does_not_blow_up():
    neck = (stage(1, 12, stride=2), StageSpec("fused", 4, 3, 1, 160, 1))
    family = scale_family(ArchSpec(8, (stage(1, 8), *neck), 128, train_image_size=32))
    params = {size: complexity(spec, num_classes=10, in_channels=1).num_params for size, spec in family.items()}
    assert params["S"] < params["M"] < 3 * params["S"]


def test_the_last_stage_but_one_is_deepened_from_three_stages_on():
    def middle(count: int) -> int:
        return scale_family(ArchSpec(8, (stage(9),) * count, 64))["M"].stages[-3].num_layers

    assert middle(2) == 11  # Base 5 times 2.2.
    assert middle(3) == 14  # Base 6.


def test_the_added_stage_copies_the_last_with_stride_one():
    spec = ArchSpec(8, (stage(4, 16), StageSpec("fused", 2, 5, 2, 64, 9)), 64)
    assert scale_family(spec)["L"].stages[-1] == StageSpec("fused", 2, 5, 1, 160, 4)


@pytest.mark.parametrize(("last", "added"), [(1, 0), (2, 1), (9, 3), (15, 5), (40, 5)])
def test_the_added_stage_is_a_quarter_as_deep_as_the_last_and_has_at_most_the_published_layers(last, added):
    assert sum(s.num_layers for s in scale_family(ArchSpec(8, (stage(last),), 64))["M"].stages[1:]) == added


def test_tables_at_their_limits_stay_within_them():
    spec = ArchSpec(MAX_CHANNELS, (stage(MAX_LAYERS, MAX_CHANNELS),) * MAX_STAGES, 64)
    large = scale_family(spec)["L"]
    assert len(large.stages) == MAX_STAGES
    assert large.stages[0].num_layers == MAX_LAYERS
    assert large.stem_channels == MAX_CHANNELS


@pytest.mark.parametrize(
    ("strides", "sizes", "expected"),
    [
        ((2, 2, 2, 2), (300, 384), (384, 480)),
        ((2, 2, 2, 2), (224, None), (288, None)),
        ((2, 2, 2, 2), (192, 224), (256, 288)),
        ((2, 2, 2, 2), (384, 480), (384, 480)),
        ((2, 2, 2, 2), (600, 700), (600, 700)),
        ((1, 2, 2), (32, None), (40, None)),
        ((1, 2, 2), (28, None), (32, None)),
        ((1, 2, 2), (32, 32), (40, 40)),
        ((1, 2, 2), (8, None), (8, None)),
        ((1, 2, 1), (128, 160), (160, 200)),
        ((2, 2, 2, 2), (163, 163), (224, 224)),
    ],
)
def test_image_sizes(strides, sizes, expected):
    train, evaluation = sizes
    spec = ArchSpec(8, tuple(stage(stride=s) for s in strides), 64, train_image_size=train, eval_image_size=evaluation)
    for size in ("M", "L"):
        scaled = scale_family(spec)[size]
        assert (scaled.train_image_size, scaled.eval_image_size) == expected


@pytest.mark.parametrize(
    ("dropout", "expected"), [(0.2, (0.3, 0.4)), (0.0, (0.1, 0.2)), (0.45, (0.5, 0.5)), (0.6, (0.6, 0.6))]
)
def test_dropout_grows_to_a_half(dropout, expected):
    family = scale_family(ArchSpec(8, (stage(),), 64, dropout=dropout))
    assert (family["M"].dropout, family["L"].dropout) == expected
