from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.complexity import complexity
from nas.models import ARCH_NAMES, get_arch
from nas.models.zoo import exact, round_channels, round_layers

NUM_PARAMS = {
    "efficientnet_v2_s": 21_458_488,
    "efficientnet_v2_m": 54_139_356,
    "efficientnet_v2_l": 118_515_272,
    "efficientnet_v2_xl": 208_119_808,
    "efficientnet_v2_b0": 7_139_704,
    "efficientnet_v2_b1": 8_141_052,
    "efficientnet_v2_b2": 10_096_086,
    "efficientnet_v2_b3": 14_358_406,
}
# Stem, head, dropout, training and validation size as released.
SETTINGS = {
    "efficientnet_v2_s": (24, 1280, 0.2, 300, 384),
    "efficientnet_v2_m": (24, 1280, 0.3, 384, 480),
    "efficientnet_v2_l": (32, 1280, 0.4, 384, 480),
    "efficientnet_v2_xl": (32, 1280, 0.4, 384, 512),
    "efficientnet_v2_b0": (32, 1280, 0.2, 192, 224),
    "efficientnet_v2_b1": (32, 1280, 0.2, 192, 240),
    "efficientnet_v2_b2": (32, 1408, 0.3, 208, 260),
    "efficientnet_v2_b3": (40, 1536, 0.3, 240, 300),
}


def test_the_names_are_the_published_ones():
    assert set(ARCH_NAMES) == set(NUM_PARAMS)


@pytest.mark.parametrize("name", ARCH_NAMES)
def test_parameters_and_settings_are_as_published(name):
    spec = get_arch(name)
    assert complexity(spec, num_classes=1000, in_channels=3).num_params == NUM_PARAMS[name]
    found = (spec.stem_channels, spec.head_channels, spec.dropout, spec.train_image_size, spec.eval_image_size)
    assert found == SETTINGS[name]
    assert spec.stochastic_depth == 0.2
    assert spec.name == name
    assert spec.total_stride == 32
    assert {stage.block: stage.se_ratio for stage in spec.stages} == {"fused": 0.0, "mbconv": 0.25}


@pytest.mark.parametrize(
    ("name", "channels", "layers"),
    [
        ("b1", (16, 32, 48, 96, 112, 192), (2, 3, 3, 4, 6, 9)),
        ("b2", (16, 32, 56, 104, 120, 208), (2, 3, 3, 4, 6, 10)),
        ("b3", (16, 40, 56, 112, 136, 232), (2, 3, 3, 5, 7, 12)),
    ],
)
def test_b1_to_b3_come_from_the_base_list(name, channels, layers):
    spec = get_arch(f"efficientnet_v2_{name}")
    assert tuple(stage.out_channels for stage in spec.stages) == channels
    assert tuple(stage.num_layers for stage in spec.stages) == layers


def test_b2_is_b0_with_multipliers():
    b2 = get_arch("efficientnet_v2_b2")
    scaled = get_arch("efficientnet_v2_b0", width_mult=1.1, depth_mult=1.2, dropout=0.3)
    assert replace(scaled, train_image_size=208, eval_image_size=260) == b2
    assert scaled.arch_id == b2.arch_id
    assert scaled.name == "efficientnet_v2_b0 (width x 1.1, depth x 1.2)"


def test_multipliers_scale_stem_stages_and_head():
    half = get_arch("efficientnet_v2_s", width_mult=0.5, depth_mult=0.5)
    assert (half.stem_channels, half.head_channels) == (16, 640)
    assert [stage.out_channels for stage in half.stages] == [16, 24, 32, 64, 80, 128]
    assert [stage.num_layers for stage in half.stages] == [1, 2, 2, 3, 5, 8]


def test_dropout_and_stochastic_depth_can_be_set():
    spec = get_arch("efficientnet_v2_s", dropout=0.0, stochastic_depth=0.1)
    assert (spec.dropout, spec.stochastic_depth) == (0.0, 0.1)


def test_the_rounding_of_efficientnets_first_version_changes_one_stage():
    """B3's first stage, of all published networks."""
    for name in ARCH_NAMES:
        ours, limited = (get_arch(name, round_limit=limit) for limit in (0.0, 0.9))
        if name == "efficientnet_v2_b3":
            assert (ours.stages[0].out_channels, limited.stages[0].out_channels) == (16, 24)
            limited = replace(limited, stages=(ours.stages[0], *limited.stages[1:]))
        assert limited == ours


def test_stem_stride_and_head_can_be_set():
    spec = get_arch("efficientnet_v2_b2", stem_stride=1, head_channels=1000)
    assert (spec.total_stride, spec.head_channels) == (16, 1000)
    assert replace(spec, stem_stride=2, head_channels=1408) == get_arch("efficientnet_v2_b2")
    for name, value in (("stem_stride", 3), ("head_channels", 0)):
        with pytest.raises(InvalidInputError, match=f"`{name}` must be"):
            get_arch("efficientnet_v2_b2", **{name: value})


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.9", None])
def test_the_round_limit_is_a_share(value):
    with pytest.raises(InvalidInputError, match="`round_limit` must be a number from 0 to 1"):
        get_arch("efficientnet_v2_s", round_limit=value)


@given(st.integers(1, 4096), st.floats(0.01, 10), st.floats(0, 1))
def test_rounded_channels_keep_the_limit(channels, width, limit):
    wanted = channels * exact(width)
    limited, plain = round_channels(channels, width, limit), round_channels(channels, width)
    assert limited >= exact(limit) * wanted
    assert limited == (plain if plain >= exact(limit) * wanted else plain + 8)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(InvalidInputError, match="Did you mean 'efficientnet_v2_xl'"):
        get_arch("efficientnet_v2_xxl")
    with pytest.raises(InvalidInputError, match="Choose one of: efficientnet_v2_b0"):
        get_arch("zzz")


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), 10**5000, True, "2", None], ids=range(8))
@pytest.mark.parametrize("name", ["width_mult", "depth_mult"])
def test_a_multiplier_is_a_number_above_zero(name, value):
    with pytest.raises(InvalidInputError, match=f"`{name}` must be a number above 0"):
        get_arch("efficientnet_v2_s", **{name: value})


def test_a_multiplier_too_large_for_a_table_is_refused():
    with pytest.raises(InvalidInputError, match="num_layers"):
        get_arch("efficientnet_v2_s", depth_mult=100)
    with pytest.raises(InvalidInputError, match="dropout"):
        get_arch("efficientnet_v2_s", dropout=1.0)


def test_rounding_has_no_ten_percent_rule_and_is_exact():
    assert round_channels(16, 1.2) == 16
    assert round_channels(12) == 16
    assert round_channels(11) == 8
    assert round_channels(1) == 8
    assert round_layers(10, 1.1) == 11
    assert round_layers(10, 3.1) == 31
    assert round_layers(1, 0.01) == 1


@given(st.integers(1, 4096), st.floats(0.01, 10))
def test_channels_round_to_the_nearest_multiple_of_eight(channels, width):
    rounded = round_channels(channels, width)
    assert rounded % 8 == 0
    assert abs(rounded - channels * exact(width)) <= 4 or rounded == 8
