from dataclasses import replace

import pytest
from hypothesis import given

from nas import InvalidInputError
from nas.models import get_arch
from nas.models.export.automl import automl_blocks, automl_file, parse_automl_blocks
from tests.models.export.networks import OPTIONS, network_of, run
from tests.strategies import arch_specs

# As the released code has them.
PUBLISHED = {
    "s": [
        *("r2_k3_s1_e1_i24_o24_c1", "r4_k3_s2_e4_i24_o48_c1", "r4_k3_s2_e4_i48_o64_c1"),
        *("r6_k3_s2_e4_i64_o128_se0.25", "r9_k3_s1_e6_i128_o160_se0.25", "r15_k3_s2_e6_i160_o256_se0.25"),
    ],
    "b0": [
        *("r1_k3_s1_e1_i32_o16_c1", "r2_k3_s2_e4_i16_o32_c1", "r2_k3_s2_e4_i32_o48_c1"),
        *("r3_k3_s2_e4_i48_o96_se0.25", "r5_k3_s1_e6_i96_o112_se0.25", "r8_k3_s2_e6_i112_o192_se0.25"),
    ],
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_block_strings(size):
    spec = get_arch(f"efficientnet_v2_{size}")
    assert automl_blocks(spec) == PUBLISHED[size]
    assert parse_automl_blocks(PUBLISHED[size]).stages == spec.stages


@given(arch_specs())
def test_block_strings_are_read_back(spec):
    found = parse_automl_blocks(automl_blocks(spec), head_channels=spec.head_channels, stem_stride=spec.stem_stride)
    rest = ("dropout", "stochastic_depth", "train_image_size", "eval_image_size")
    assert replace(found, **{name: getattr(spec, name) for name in rest}) == spec


@given(arch_specs(max_stages=2))
def test_the_file_says_the_rest(spec):
    found = run(automl_file(network_of(spec)))
    stem_stride = getattr(found, "STEM_STRIDE", 2)
    again = parse_automl_blocks(found.BLOCKS, head_channels=found.MODEL["feature_size"], stem_stride=stem_stride)
    assert (again.stages, again.stem_channels, again.head_channels, again.stem_stride) == (
        *(spec.stages, spec.stem_channels),
        *(spec.head_channels, spec.stem_stride),
    )
    assert found.MODEL["dropout_rate"] == spec.dropout
    assert found.MODEL["survival_prob"] == 1 - spec.stochastic_depth
    assert (found.MODEL["bn_momentum"], found.MODEL["bn_epsilon"]) == (0.9, 0.001)
    assert found.TRAIN["isize"] == spec.train_image_size
    assert found.EVAL["isize"] == (spec.eval_image_size or spec.train_image_size)


def test_the_file_says_what_the_released_code_does_otherwise():
    files = {name: automl_file(network_of(get_arch("efficientnet_v2_b0"), options=OPTIONS[name])) for name in OPTIONS}
    assert "pads symmetrically" in files["norm"]
    assert "pads symmetrically" not in files["same"]
    model = run(files["norm"]).MODEL
    assert (model["bn_momentum"], model["bn_epsilon"]) == (0.75, 1e-5)


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        ([], "`block strings` must be at least one"),
        (["r2_k3_s1_e1_i24"], "`block string 1` must be like r2_k3"),
        (["r2_k3_s1_e1_i24_o24_c2"], "`block string 1` must be like"),
        (["r2_k3_s1_e1_i24_o24_se0.2.5"], "`block string 1` must be like"),
        ([7], "`block string 1` must be like"),
        (["r2_k4_s1_e1_i24_o24_c1"], "block string 1: `kernel_size` must be odd"),
        (["r2_k3_s1_e1_i24_o24_c1", "r2_k3_s1_e4_i32_o24_c1"], "`block string 2` must be i24, what stage 1 puts out"),
    ],
)
def test_strings_that_are_no_network_are_refused(strings, message):
    with pytest.raises(InvalidInputError, match=message):
        parse_automl_blocks(strings)
