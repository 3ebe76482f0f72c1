from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.complexity import complexity
from nas.models import get_arch
from nas.models.scaling import SIZES, scale_base, scale_family
from nas.models.scaling.coefficients import BASE, L, M, coefficients_at
from nas.models.scaling.published import FROM_BASE, FROM_S
from nas.models.scaling.rule import scale_by_step
from nas.models.zoo import round_channels, round_layers
from nas.spec import MAX_CHANNELS, MAX_LAYERS, MAX_STAGES
from search_spaces.efficientnet_v2_tiny import space as tiny
from tests.strategies import arch_specs

PUBLISHED = {size: get_arch(f"efficientnet_v2_{size.lower()}") for size in SIZES}
B0 = get_arch("efficientnet_v2_b0")

# Repeats and channels of each stage as in the released code's tables (google/automl, effnetv2_configs.py).
REPEATS = {
    "S": [2, 4, 4, 6, 9, 15],
    "M": [3, 5, 5, 7, 14, 18, 5],
    "L": [4, 7, 7, 10, 19, 25, 7],
    "XL": [4, 8, 8, 16, 24, 32, 8],
}
CHANNELS = {
    "S": [24, 48, 64, 128, 160, 256],
    "M": [24, 48, 80, 160, 176, 304, 512],
    "L": [32, 64, 96, 192, 224, 384, 640],
    "XL": [32, 64, 96, 192, 256, 512, 640],
}


def stage(num_layers: int = 1, out_channels: int = 16, stride: int = 1) -> StageSpec:
    return StageSpec("mbconv", 4, 3, stride, out_channels, num_layers, se_ratio=0.25)


def test_s_is_the_network_itself():
    family = scale_family(PUBLISHED["S"])
    assert list(family) == ["S", "M", "L"]
    assert family["S"] == PUBLISHED["S"]
    assert [spec.name for spec in family.values()] == ["S", "M", "L"]


FAMILIES = {"base": (scale_base(B0), FROM_BASE), "S": (scale_family(PUBLISHED["S"], SIZES), FROM_S)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("start", FAMILIES)
def test_the_published_repeats_follow(start, size):
    assert [stage.num_layers for stage in FAMILIES[start][0][size].stages] == REPEATS[size]


@pytest.mark.parametrize("start", FAMILIES)
def test_the_published_channels_follow_with_exactly_the_listed_exceptions(start):
    family, exceptions = FAMILIES[start]
    differing = {}
    for size in SIZES:
        ours = [stage.out_channels for stage in family[size].stages]
        for number, (published, rule) in enumerate(zip(CHANNELS[size], ours, strict=True), start=1):
            if published != rule:
                differing[size, number] = (published, rule)
    assert differing == exceptions


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("start", FAMILIES)
def test_all_else_follows(start, size):
    found, published = FAMILIES[start][0][size], PUBLISHED[size]
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


@pytest.mark.parametrize(("step", "size"), [(1, "M"), (3, "L")])
def test_the_line_passes_through_m_and_l(step, size):
    assert coefficients_at(step) == {"M": M, "L": L}[size]
    published = scale_family(PUBLISHED["S"])[size]
    assert scale_by_step(PUBLISHED["S"], step).stages == published.stages


def test_the_line_passes_b6_and_goes_on_as_efficientnet_does():
    b6, beyond = coefficients_at(2), coefficients_at(4)
    assert (b6.width, b6.depth) == (Fraction("1.8"), Fraction("2.65"))  # B6 has 1.8 and 2.6.
    assert (float(beyond.width), float(beyond.depth)) == pytest.approx((2.2, 3.72))  # B8 has 2.2 and 3.6.
    assert BASE.width == BASE.depth == 1


def test_sizes_are_returned_in_order_and_must_be_known():
    assert list(scale_family(PUBLISHED["S"], ("XL", "M"))) == ["M", "XL"]
    assert scale_base(B0, ("L",))["L"] == FAMILIES["base"][0]["L"]
    for scale in (scale_family, scale_base):
        with pytest.raises(InvalidInputError, match="got 'XS'"):
            scale(B0, ("S", "XS"))
        with pytest.raises(InvalidInputError, match="at least one"):
            scale(B0, ())


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
    family = list(scale_family(spec, SIZES).values())
    for small, large in pairwise(family):
        assert len(small.stages) <= len(large.stages)
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
    # A second layer in the last stage would have 70 times the weights of the first, which sees 12 channels.
    neck = (stage(1, 12, stride=2), StageSpec("fused", 4, 3, 1, 160, 1))
    family = scale_family(ArchSpec(8, (stage(1, 8), *neck), 128, train_image_size=32), SIZES)
    params = {size: complexity(spec, num_classes=10, in_channels=1).num_params for size, spec in family.items()}
    assert params["S"] < params["M"] < 2 * params["S"]
    assert params["L"] < 4 * params["S"]
    assert params["XL"] < 6 * params["S"]
    assert [each.num_layers for each in family["L"].stages] == [2, 2, 1]


@given(st.integers(0, 10_000))
def test_random_networks_of_the_tiny_space_grow_about_as_the_published_ones(seed):
    # Published: M, L and XL have 2.5, 5.5 and 9.7 times the parameters of S.
    family = scale_family(tiny.decode(tiny.sample(seed)), SIZES)
    params = [complexity(spec, num_classes=10, in_channels=1).num_params for spec in family.values()]
    for found, most in zip(params[1:], (10, 20, 60), strict=True):
        assert found < most * params[0]


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
    large = scale_family(spec, SIZES)["XL"]
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
