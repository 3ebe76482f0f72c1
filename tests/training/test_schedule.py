"""Progressive schedules: the published numbers, and what holds for any."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import nas.training
from nas.errors import InvalidInputError
from nas.training.schedule import PRESETS, REGULARISERS, ProgressiveSchedule, Stage


def column(schedule, name):
    return [getattr(stage, name) for stage in schedule]


PAPER = {
    "s": ([128, 185, 243, 300], [5, 25 / 3, 35 / 3, 15], [0, 0, 0, 0], [0.1, 1 / 6, 7 / 30, 0.3]),
    "m": ([128, 212, 296, 380], [5, 10, 15, 20], [0, 0.2 / 3, 0.4 / 3, 0.2], [0.1, 0.2, 0.3, 0.4]),
    "l": ([128, 212, 296, 380], [5, 35 / 3, 55 / 3, 25], [0, 0.5 / 3, 1 / 3, 0.5], [0.1, 0.7 / 3, 1.1 / 3, 0.5]),
}
"""Table 6 by Algorithm 1: image size, RandAugment's magnitude, MixUp's alpha, dropout."""

CODE = {
    "s": ([171, 214, 257, 300], [5, 20 / 3, 25 / 3, 10], [0] * 4),
    "m": ([192, 256, 320, 384], [5, 25 / 3, 35 / 3, 15], [0, 0.2 / 3, 0.4 / 3, 0.2]),
    "l": ([192, 256, 320, 384], [5, 10, 15, 20], [0, 0.5 / 3, 1 / 3, 0.5]),
    "b0": ([144, 160, 176, 192], [0] * 4, [0] * 4),
    "b1": ([144, 160, 176, 192], [0] * 4, [0] * 4),
    "b2": ([148, 168, 188, 208], [0] * 4, [0] * 4),
    "b3": ([156, 184, 212, 240], [0] * 4, [0] * 4),
}
"""The released code: image size, RandAugment's magnitude, the alpha of MixUp and of CutMix."""


@pytest.mark.parametrize("name", PAPER)
def test_table_6(name):
    schedule = ProgressiveSchedule.preset(name)
    sizes, magnitudes, alphas, dropouts = PAPER[name]
    assert column(schedule, "image_size") == sizes
    assert column(schedule, "randaugment_magnitude") == pytest.approx(magnitudes, abs=1e-12)
    assert column(schedule, "mixup_alpha") == pytest.approx(alphas, abs=1e-12)
    assert column(schedule, "dropout") == pytest.approx(dropouts, abs=1e-12)
    assert column(schedule, "share") == [0.25] * 4
    assert column(schedule, "cutmix_alpha") == [0] * 4


@pytest.mark.parametrize("name", CODE)
def test_the_released_code(name):
    schedule = ProgressiveSchedule.preset(name, variant="code")
    sizes, magnitudes, alphas = CODE[name]
    assert column(schedule, "image_size") == sizes
    assert column(schedule, "randaugment_magnitude") == pytest.approx(magnitudes, abs=1e-12)
    assert column(schedule, "mixup_alpha") == column(schedule, "cutmix_alpha") == pytest.approx(alphas, abs=1e-12)
    assert column(schedule, "dropout") == [None] * 4


@pytest.mark.parametrize(
    ("name", "variant", "cost"),
    [("s", "code", 0.642), ("s", "paper", 0.555), ("m", "paper", 0.508), ("l", "paper", 0.508), ("m", "code", 0.597)],
)
def test_pixels_of_the_published_schedules(name, variant, cost):
    assert ProgressiveSchedule.preset(name, variant=variant).relative_cost == pytest.approx(cost, abs=0.0005)


def test_the_package_offers_it_and_takes_no_torch():
    stages = nas.training.ProgressiveSchedule.preset("s", variant="paper").stages
    assert isinstance(stages[0], nas.training.Stage)
    code = (
        "import sys; import nas.training; nas.training.ProgressiveSchedule.preset('s'); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_small_images_have_the_proportions_of_s():
    schedule = ProgressiveSchedule.scaled(32, dropout=(0.1, 0.3))
    assert column(schedule, "image_size") == [12, 20, 24, 32]
    assert column(schedule, "dropout") == pytest.approx([0.1, 1 / 6, 7 / 30, 0.3])
    assert column(ProgressiveSchedule.scaled(300, size_multiple=1), "image_size") == [128, 185, 243, 300]
    assert column(ProgressiveSchedule.scaled(32, first_image_size=16), "image_size") == [16, 20, 28, 32]


def test_what_table_13_compares():
    schedule = ProgressiveSchedule.preset("m")
    constant = schedule.with_constant_regularisation()
    assert column(constant, "image_size") == column(schedule, "image_size")
    assert {name: set(column(constant, name)) for name in REGULARISERS} == {
        name: {getattr(schedule.stages[-1], name)} for name in REGULARISERS
    }
    drawn = ProgressiveSchedule.random_resize((128, 300), num_stages=44, seed=0, dropout=(0.1, 0.3))
    assert len(set(column(drawn, "image_size"))) > 30
    assert all(128 <= size <= 300 for size in column(drawn, "image_size"))
    for stage in drawn:
        assert stage.dropout == pytest.approx(0.1 + 0.2 * (stage.image_size - 128) / 172)
    assert drawn == ProgressiveSchedule.random_resize((128, 300), num_stages=44, seed=0, dropout=(0.1, 0.3))
    assert drawn != ProgressiveSchedule.random_resize((128, 300), num_stages=44, seed=1, dropout=(0.1, 0.3))
    assert ProgressiveSchedule.fixed(300, dropout=0.3).stages == (Stage(300, dropout=0.3),)


def test_small_images_come_in_large_batches():
    schedule = ProgressiveSchedule.preset("s").with_batch_sizes(64, largest=256)
    assert column(schedule, "batch_size") == [256, 168, 97, 64]
    assert column(schedule, "image_size") == [128, 185, 243, 300]


ranges = st.tuples(st.floats(0, 0.9), st.floats(0, 0.9))


@given(st.integers(8, 400), st.integers(0, 400), st.integers(1, 9), st.integers(1, 32), ranges)
def test_any_schedule_begins_and_ends_where_it_was_told(first, more, num_stages, multiple, dropout):
    assume(round(first / multiple) * multiple >= 8)  # Rounding may make it too small.
    schedule = ProgressiveSchedule.linear(
        (first, first + more), num_stages=num_stages, size_multiple=multiple, dropout=dropout
    )
    assert sum(column(schedule, "share")) == pytest.approx(1)
    assert schedule.stages[-1].image_size == first + more
    assert schedule.stages[-1].dropout == dropout[1]
    sizes, values = column(schedule, "image_size"), column(schedule, "dropout")
    assert all(size % multiple == 0 or size == first + more for size in sizes)
    assert sizes == sorted(sizes)
    assert values == sorted(values, reverse=dropout[0] > dropout[1])
    if num_stages > 1:
        assert values[0] == dropout[0]
        assert abs(schedule.stages[0].image_size - first) <= multiple / 2


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 500))
def test_epochs_are_whole_and_every_stage_has_one(weights, more):
    schedule = ProgressiveSchedule(tuple(Stage(32, weight / sum(weights)) for weight in weights))
    total = len(weights) + more
    found = schedule.num_epochs(total)
    assert sum(found) == total
    assert min(found) >= 1
    if more > 8 * sum(weights):
        assert found == pytest.approx([total * stage.share for stage in schedule], abs=1.01)


def test_epochs_of_the_paper():
    assert ProgressiveSchedule.preset("s").num_epochs(350) == (88, 87, 87, 88)
    with pytest.raises(InvalidInputError, match="`epochs` must be at least 4, one a stage, got 3"):
        ProgressiveSchedule.preset("s").num_epochs(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ProgressiveSchedule.preset("s", variant="papr"), "Did you mean 'paper'"),
        (lambda: ProgressiveSchedule.preset("b0"), "Choose one of s, m, l"),
        (lambda: ProgressiveSchedule.linear((128, 300), droput=(0, 0.1)), "Did you mean 'dropout'"),
        (lambda: ProgressiveSchedule.linear((128, 300), num_stages=0), "`num_stages` must be at least 1"),
        (lambda: ProgressiveSchedule.linear((128, 300), dropout=(0.1, 1)), "`dropout` must be from 0"),
        (lambda: ProgressiveSchedule.scaled(32, first_image_size=40), "from 8 to the last stage's 32"),
        (lambda: ProgressiveSchedule.random_resize((9, 11), num_stages=2, seed=0, size_multiple=8), "multiple of 8"),
        (lambda: ProgressiveSchedule(()), "`stages` must be at least one"),
        (lambda: ProgressiveSchedule((Stage(32, 0.5),)), "`shares of the stages` must be 1 in all"),
        (lambda: Stage(4), "`image_size` must be at least 8"),
        (lambda: Stage(32, 0), "`share` must be above 0"),
        (lambda: Stage(32, batch_size=1), "`batch_size` must be at least 2"),
        (lambda: Stage(32, mixup_alpha=-1), "`mixup_alpha` must be 0 or more"),
        (lambda: Stage(32, randaugment_magnitude=float("nan")), "`randaugment_magnitude` must be 0 or more"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_presets_name_fields_of_a_stage():
    fields = {field.name for field in dataclasses.fields(Stage)}
    assert {name for presets in PRESETS.values() for preset in presets.values() for name in preset} <= fields
