import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.errors import did_you_mean, invalid
from tests.strategies import arch_specs

FUSED = StageSpec("fused", 4, 3, 2, 48, 2)
MBCONV = StageSpec("mbconv", 6, 5, 1, 64, 1, se_ratio=0.25)
SPEC = ArchSpec(24, (FUSED, MBCONV), 256, dropout=0.1, stochastic_depth=0.3)
SPEC_ID = "7cd86622f6e22730"


def deep(levels: int, leaf: Any = 0) -> Any:
    for _ in range(levels):
        leaf = [leaf]
    return leaf


# What no field of a table may hold.
JUNK = [None, True, -1, 0, 0.5, float("nan"), float("inf"), 10**30, 10**5000, "3", "x" * 10**6, [], {}, deep(100_000)]
# What is right for some fields all the same.
ALLOWED = {
    "dropout": (0, 0.5),
    "stochastic_depth": (0, 0.5),
    "se_ratio": (0, 0.5),
    "eval_image_size": (None,),
    "name": ("3", "x" * 10**6),
}


# ---- identity ----


def test_arch_id_is_pinned():
    assert SPEC.arch_id == SPEC_ID


@pytest.mark.parametrize("seed", ["0", "12345"])
def test_arch_id_is_the_same_in_another_run(seed, tmp_path):
    SPEC.save(tmp_path / "spec.json")
    code = "import sys, nas; print(nas.ArchSpec.load(sys.argv[1]).arch_id); assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "spec.json")],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == SPEC_ID


@given(arch_specs(), st.data())
def test_arch_id_of_a_stage_written_as_two_is_the_same(spec, data):
    index = data.draw(st.integers(0, len(spec.stages) - 1))
    stage = spec.stages[index]
    if stage.num_layers == 1:
        spec = replace(spec, stages=(*spec.stages[:index], replace(stage, num_layers=2), *spec.stages[index + 1 :]))
        stage = spec.stages[index]
    first = data.draw(st.integers(1, stage.num_layers - 1))
    halves = (replace(stage, num_layers=first), replace(stage, stride=1, num_layers=stage.num_layers - first))
    split = replace(spec, stages=(*spec.stages[:index], *halves, *spec.stages[index + 1 :]))
    assert split != spec
    assert split.arch_id == spec.arch_id


@pytest.mark.parametrize("change", [{"name": "other"}, {"train_image_size": 96}, {"eval_image_size": 128}])
def test_arch_id_ignores_what_does_not_change_the_network(change):
    assert replace(SPEC, **change).arch_id == SPEC_ID


@pytest.mark.parametrize(
    "change",
    [
        {"stem_channels": 32},
        {"head_channels": 512},
        {"stem_stride": 1},
        {"dropout": 0.2},
        {"stochastic_depth": 0.0},
        {"stages": (FUSED,)},
        {"stages": (MBCONV, FUSED)},
        *(
            {"stages": (FUSED, replace(MBCONV, **{field: value}))}
            for field, value in {
                "block": "fused",
                "expand_ratio": 4,
                "kernel_size": 3,
                "stride": 2,
                "out_channels": 72,
                "num_layers": 2,
                "se_ratio": 0.0,
            }.items()
        ),
    ],
)
def test_arch_id_changes_with_the_network(change):
    assert replace(SPEC, **change).arch_id != SPEC_ID


def test_arch_id_of_negative_zero_is_that_of_zero():
    assert replace(SPEC, dropout=-0.0).arch_id == replace(SPEC, dropout=0).arch_id


def test_equality_and_hash_ignore_the_name_and_nothing_else():
    named = replace(SPEC, name="best")
    assert named == SPEC
    assert hash(named) == hash(SPEC)
    assert named.name == "best"
    assert replace(SPEC, train_image_size=96) != SPEC
    assert replace(SPEC, dropout=0.2) != SPEC


# ---- what is derived ----


def test_blocks_derive_channels_stride_and_squeeze():
    first, second, third = SPEC.blocks()
    assert (first.in_channels, first.hidden_channels, first.out_channels, first.stride) == (24, 96, 48, 2)
    assert (second.in_channels, second.stride, second.has_residual) == (48, 1, True)
    assert (third.in_channels, third.hidden_channels, third.se_channels) == (48, 288, 12)
    assert not first.has_residual
    assert not third.has_residual
    assert SPEC.num_blocks == 3
    assert SPEC.total_stride == 4


def test_squeeze_channels_are_at_least_one():
    assert [b.se_channels for b in StageSpec("mbconv", 1, 3, 1, 2, 1, se_ratio=0.25).blocks(3)] == [1]


def test_stages_may_be_any_iterable():
    assert ArchSpec(24, [FUSED, MBCONV], 256, dropout=0.1, stochastic_depth=0.3) == SPEC  # type: ignore[arg-type]


# ---- JSON ----


@given(arch_specs())
def test_json_round_trip(spec):
    back = ArchSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert back == spec
    assert back.name == spec.name
    assert back.arch_id == spec.arch_id


def test_save_replaces_and_load_reads(tmp_path):
    path = tmp_path / "S.json"
    replace(SPEC, stem_channels=8).save(path)
    SPEC.save(path)
    assert ArchSpec.load(path) == SPEC
    assert [entry.name for entry in tmp_path.iterdir()] == ["S.json"]


def test_optional_keys_may_be_missing():
    stage = {"block": "mbconv", "expand_ratio": 1, "kernel_size": 3, "stride": 1, "out_channels": 8, "num_layers": 1}
    spec = ArchSpec.from_dict({"stem_channels": 8, "head_channels": 8, "stages": [stage]})
    assert spec == ArchSpec(8, (StageSpec("mbconv", 1, 3, 1, 8, 1),), 8)


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    plain = SPEC.to_dict()
    where: Any = plain
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    return plain


FIELDS: list[tuple[str | int, ...]] = [(key,) for key in SPEC.to_dict()]
FIELDS += [("stages", 1, key) for key in SPEC.to_dict()["stages"][1]]


@pytest.mark.parametrize("path", FIELDS, ids=str)
@pytest.mark.parametrize("value", JUNK, ids=range(len(JUNK)))
def test_junk_in_a_field_is_refused(path, value):
    if any(value is not True and value == allowed for allowed in ALLOWED.get(str(path[-1]), ())):
        ArchSpec.from_dict(changed(path, value))
        return
    with pytest.raises(InvalidInputError, match="must be") as caught:
        ArchSpec.from_dict(changed(path, value))
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("stage",), [], "Did you mean 'stages'?"),
        (("stages", 1, "kernel"), 3, "stage 2: .*Did you mean 'kernel_size'?"),
        (("stages", 1, "block"), "mbconf", "stage 2: .*Did you mean 'mbconv'?"),
        (("stages", 1, "kernel_size"), 4, "`kernel_size` must be odd, got 4"),
        (("stages", 0, "se_ratio"), 1.5, "`se_ratio` must be a number from 0 to 1, got 1.5"),
        (("stages", 0, "out_channels"), 0, "stage 1: `out_channels` must be an integer from 1"),
        (("stages",), [], "`number of stages` must be an integer from 1 to 32, got 0"),
        (("stages",), [3], "`stage 1` must be a JSON object, got 3"),
        (("format",), "nas.arch/9", "`format` must be 'nas.arch/1', got 'nas.arch/9'"),
        (("dropout",), 1.0, "`dropout` must be a number from 0 up to, not including, 1"),
    ],
)
def test_errors_say_where_what_and_how(path, value, message):
    with pytest.raises(InvalidInputError, match=message):
        ArchSpec.from_dict(changed(path, value))


@pytest.mark.parametrize("path", [("stem_channels",), ("stages",), ("stages", 1, "num_layers")], ids=str)
def test_a_missing_key_is_named(path):
    plain = changed(path, 1)
    where: Any = plain
    for key in path[:-1]:
        where = where[key]
    del where[path[-1]]
    with pytest.raises(InvalidInputError, match=f"Add '{path[-1]}'"):
        ArchSpec.from_dict(plain)


def test_a_fused_stage_of_single_convolutions_has_no_squeeze_excitation():
    with pytest.raises(InvalidInputError, match="se_ratio"):
        StageSpec("fused", 1, 3, 1, 8, 1, se_ratio=0.25)


@pytest.mark.parametrize("stages", [5, None, "ab", {"a": 1}, [1]])
def test_the_constructor_refuses_what_are_no_stages(stages):
    with pytest.raises(InvalidInputError, match="`stages` must be"):
        ArchSpec(8, stages, 8)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
stage_like = st.dictionaries(st.sampled_from(list(SPEC.to_dict()["stages"][0])), json_values)
arch_like = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(SPEC.to_dict(), json_values) | {"stages": json_values | st.lists(stage_like)}
)


@pytest.mark.parametrize("plain", [deep(100_000), {10**5000: 1}, {"stages": deep(100_000)}], ids=range(3))
def test_what_python_cannot_print_is_invalid_input(plain):
    with pytest.raises(InvalidInputError):
        ArchSpec.from_dict(plain)


@given(json_values | arch_like)
def test_any_json_is_a_network_or_invalid_input(plain):
    try:
        spec = ArchSpec.from_dict(plain)
    except InvalidInputError:
        return
    assert ArchSpec.from_dict(spec.to_dict()) == spec


@given(st.sampled_from(FIELDS), json_values)
def test_any_json_in_a_field_is_a_network_or_invalid_input(path, value):
    try:
        spec = ArchSpec.from_dict(changed(path, value))
    except InvalidInputError:
        return
    assert ArchSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"1" * 5000,
        b'{"stages": ' + b"[" * 900 + b"]" * 900 + b', "stem_channels": 1, "head_channels": 1}',
        b'{"stem_channels": NaN, "stages": [], "head_channels": 1}',
    ],
    ids=range(9),
)
def test_load_of_a_bad_file_names_the_file(content, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"bad\.json"):
        ArchSpec.load(path)


@pytest.mark.parametrize("name", ["missing.json", ".", "a\0b"])
def test_load_of_no_file(name, tmp_path: Path):
    with pytest.raises(InvalidInputError, match="architecture file"):
        ArchSpec.load(f"{tmp_path}/{name}")


# ---- errors ----


def test_an_error_shows_the_value_on_one_line():
    assert str(invalid("x", "small", [1, 2], "Shrink it.")) == "`x` must be small, got [1, 2]. Shrink it."
    assert len(str(invalid("x", "small", ["y" * 99] * 99, "Shrink it."))) < 200


def test_did_you_mean_falls_back_to_the_list():
    assert did_you_mean("mbconf", ["mbconv", "fused"]) == "Did you mean 'mbconv'?"
    assert did_you_mean("zzz", ["mbconv", "fused"]) == "Choose one of: fused, mbconv."
    assert did_you_mean(None, ["mbconv", "fused"]) == "Choose one of: fused, mbconv."


def test_importing_the_package_and_the_zoo_leaves_torch_out():
    code = (
        "import sys, nas, nas.models, nas.models.zoo, nas.models.scaling, nas.complexity, search_spaces.efficientnet_v2"
    )
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)
