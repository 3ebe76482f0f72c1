"""The space on its own, and against the table where it is at hand."""

import csv
import itertools
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.complexity import complexity
from nas.evaluation.complexity import count_macs, count_params
from nas.evaluation.table import read_table
from nas.models import build_model, get_arch
from nas.models.scaling import scale_family
from search_spaces.nas_bench_macro import OPERATIONS, space
from tests.running import ROOT

TABLE = Path(os.environ.get("NAS_TEST_DATA", ROOT.parent / "shared" / "data")) / "nas_bench_macro/nas_bench_macro.csv"
needs_table = pytest.mark.skipif(not TABLE.exists(), reason="the table is not at hand")

params = st.tuples(*(st.sampled_from(values) for values in space.choices.values())).map(
    lambda values: dict(zip(space.choices, values, strict=True))
)


def decoded(digits):
    return space.decode(space.read_row(row(digits)).params)


def row(digits, **changes):
    return {"arch": digits, "acc1": "90", "acc2": "91", "acc3": "92", "params": "1", "flops": "1"} | changes


def canonical(digits):
    """Drop the identities that are not first in their stage."""
    return tuple(stage[0] + stage[1:].replace("0", "") for stage in (digits[:2], digits[2:5], digits[5:]))


def digits_of(values):
    return "".join(str(list(OPERATIONS).index(value)) for value in values.values())


@given(params, params)
def test_networks_are_equal_where_their_canonical_form_is(one, other):
    same = canonical(digits_of(one)) == canonical(digits_of(other))
    assert (space.decode(one).arch_id == space.decode(other).arch_id) == same


@given(params)
def test_encode_finds_an_equal_network(values):
    spec = space.decode(values)
    assert space.decode(space.encode(spec)).arch_id == spec.arch_id


@pytest.mark.parametrize("name", ["efficientnet_v2_s", "efficientnet_v2_b0"])
def test_networks_of_other_spaces_are_refused(name):
    with pytest.raises(InvalidInputError, match="one of space nas_bench_macro"):
        space.encode(get_arch(name))


@settings(max_examples=25)
@given(params)
def test_a_family_can_be_scaled_from_any(values):
    small, medium, large = scale_family(space.decode(values)).values()
    assert small.num_blocks <= medium.num_blocks <= large.num_blocks


@pytest.mark.parametrize(
    ("digits", "num_params", "num_macs"),
    [
        ("00000000", 387_882, 7_713_280),
        ("10000000", 396_298, 12_128_768),
        ("01000000", 415_082, 14_447_104),
        ("12000000", 456_714, 27_169_280),
        ("22222222", 2_932_586, 105_660_928),
    ],
)
def test_costs_are_those_of_the_published_table(digits, num_params, num_macs):
    spec = decoded(digits)
    model = build_model(spec, 10)
    assert count_params(model) == num_params
    assert count_macs(model, torch.zeros(1, 3, 32, 32)) == num_macs


@pytest.mark.parametrize("digits", ["0000000", "000000000", "0000000x", "00000003"])
def test_a_row_of_another_table(digits):
    with pytest.raises((ValueError, LookupError)):
        space.read_row(row(digits))


def test_accuracies_are_fractions():
    assert space.read_row(row("01201201")).accuracies == pytest.approx((0.9, 0.91, 0.92))


@needs_table
def test_the_whole_table():
    table = read_table(TABLE, space)
    assert len(table.rows) == 3_969
    with TABLE.open() as file:
        for line in itertools.islice(csv.DictReader(file), 0, None, 13):
            spec = decoded(line["arch"])
            cost = complexity(spec, num_classes=10, in_channels=3)
            assert (cost.num_params, cost.num_macs) == (int(line["params"]), int(line["flops"]))
            assert sum(table.rows[spec.arch_id].accuracies) * 100 / 3 == pytest.approx(float(line["mean_acc"]))
