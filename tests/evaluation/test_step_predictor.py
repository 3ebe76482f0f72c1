import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.evaluation.step_predictor import MIN_NETWORKS, StepTimePredictor
from tests.evaluation.timings import SHAPE, networks, noisy_seconds, seconds
from tests.strategies import arch_specs

SPECS = networks(40)
OTHERS = networks(30, first_seed=100)
TIMES = noisy_seconds(SPECS, 0.03)


@pytest.fixture(scope="module")
def predictor():
    return StepTimePredictor.fit(SPECS, TIMES, SHAPE)


def test_without_noise_it_finds_what_others_take():
    exact = StepTimePredictor.fit(SPECS, [seconds(spec) for spec in SPECS], SHAPE)
    assert exact.error < 0.002
    for spec in OTHERS:
        assert exact.predict(spec).step_time == pytest.approx(seconds(spec), rel=0.02)


def test_with_noise_its_error_is_about_the_noise_and_says_so(predictor):
    missed = [predictor.predict(spec).step_time / seconds(spec) - 1 for spec in OTHERS]
    assert np.median(np.abs(missed)) < 0.03
    assert 0.01 < predictor.error < 0.04
    covered = [abs(miss) < 2 * predictor.predict(spec).stderr for miss, spec in zip(missed, OTHERS, strict=True)]
    assert np.mean(covered) > 0.9


def test_the_residuals_are_those_of_fits_without_each_network(predictor):
    for index in (0, 7, 39):
        rest = [i for i in range(40) if i != index]
        without = StepTimePredictor.fit([SPECS[i] for i in rest], [TIMES[i] for i in rest], SHAPE)
        missed = without.predict(SPECS[index]).step_time / TIMES[index] - 1
        assert predictor.residuals[index] == pytest.approx(missed, abs=0.003)


def test_a_network_unlike_the_fitted_ones_is_less_certain(predictor):
    spec = SPECS[0]
    wide = replace(spec, stages=tuple(replace(s, out_channels=16 * s.out_channels) for s in spec.stages))
    assert predictor.predict(wide).stderr > 1.5 * predictor.predict(spec).stderr > 0


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-6, 1e6))
def test_the_unit_does_not_matter(unit):
    first = StepTimePredictor.fit(SPECS, TIMES, SHAPE)
    scaled = StepTimePredictor.fit(SPECS, [unit * time for time in TIMES], SHAPE)
    np.testing.assert_allclose(scaled.residuals, first.residuals, atol=1e-6)
    for spec in OTHERS[:3]:
        assert scaled.predict(spec).step_time == pytest.approx(unit * first.predict(spec).step_time, rel=1e-6)
        assert scaled.predict(spec).stderr == pytest.approx(first.predict(spec).stderr, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(arch_specs(), st.data())
def test_a_deeper_stage_is_never_predicted_to_take_less(predictor, spec, data):
    index = data.draw(st.integers(0, len(spec.stages) - 1))
    stages = list(spec.stages)
    stages[index] = replace(stages[index], num_layers=stages[index].num_layers + 1)
    deeper = replace(spec, stages=tuple(stages))
    assert predictor.predict(deeper).step_time >= predictor.predict(spec).step_time > 0


@settings(max_examples=25, deadline=None)
@given(arch_specs(), st.integers(1, 200))
def test_json_and_back(predictor, spec, num_classes):
    predictor = predictor.reshaped(num_classes=num_classes, in_channels=1)
    again = StepTimePredictor.from_dict(json.loads(json.dumps(predictor.to_dict())))
    assert again.predict(spec) == predictor.predict(spec)
    assert (again.error, again.outliers()) == (predictor.error, predictor.outliers())
    assert again.shape == replace(SHAPE, num_classes=num_classes, in_channels=1)


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_mistimed_network_stands_out(factor):
    times = [*TIMES]
    times[5] *= factor
    assert StepTimePredictor.fit(SPECS, TIMES, SHAPE).outliers() == []
    found = StepTimePredictor.fit(SPECS, times, SHAPE)
    assert np.abs(found.residuals).argmax() == 5
    # It bends the fit, so that one of the others may look odd too.
    assert 5 in found.outliers()
    assert len(found.outliers()) <= 2


def test_too_little_to_fit_is_refused():
    few = MIN_NETWORKS - 1
    with pytest.raises(InvalidInputError, match=f"`timed networks` must be at least {MIN_NETWORKS}, got {few}"):
        StepTimePredictor.fit(SPECS[:few], TIMES[:few], SHAPE)
    assert StepTimePredictor.fit(SPECS[:MIN_NETWORKS], TIMES[:MIN_NETWORKS], SHAPE).predict(SPECS[-1]).step_time > 0


@pytest.mark.parametrize("time", [0.0, -1.0, math.nan, math.inf])
def test_times_that_nothing_takes_are_refused(time):
    with pytest.raises(InvalidInputError, match="`times` must be above 0 and finite"):
        StepTimePredictor.fit(SPECS, [*TIMES[:-1], time], SHAPE)
    with pytest.raises(InvalidInputError, match="`times` must be as many as networks"):
        StepTimePredictor.fit(SPECS, TIMES[:-1], SHAPE)


@pytest.mark.parametrize(
    "damage",
    [
        {"shape": None},
        {"shape": {"batch_size": 0, "num_classes": 1, "in_channels": 1}},
        {"coefficients": {}},
        {"coefficients": {"flops": 1.0}},
        {"residuals": "many"},
        {"residuals": [math.nan]},
        {"inverse": [[1.0]]},
    ],
)
def test_damaged_json_is_refused(predictor, damage):
    with pytest.raises(InvalidInputError):
        StepTimePredictor.from_dict(predictor.to_dict() | damage)
    with pytest.raises(InvalidInputError):
        StepTimePredictor.from_dict({})
