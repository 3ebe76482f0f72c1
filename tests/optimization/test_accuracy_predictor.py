import numpy as np
import pytest

from nas.errors import InvalidInputError
from nas.optimization.accuracy_predictor import AccuracyPredictor
from nas.optimization.encoding import Encoding
from tests.synthetic import measure, small_space

SPACE = small_space()
ENCODING = Encoding(SPACE)


def drawn(number, seed):
    rng = np.random.default_rng(seed)
    return ENCODING.codes([SPACE.sample(rng) for _ in range(number)])


def accuracies(codes):
    specs = [SPACE.decode(ENCODING.params(code)) for code in codes]
    return np.array([measure(spec, SPACE.reference).accuracy for spec in specs])


@pytest.fixture(scope="module")
def codes():
    return drawn(100, seed=0)


@pytest.fixture(scope="module")
def noisy(codes):
    return accuracies(codes) + np.random.default_rng(1).normal(0, 0.02, size=len(codes))


@pytest.fixture(scope="module")
def predictor(codes, noisy):
    return AccuracyPredictor(ENCODING, codes, noisy)


def test_it_predicts_networks_that_were_not_measured(predictor):
    others = drawn(100, seed=2)
    true = accuracies(others)
    means, stds = predictor.predict(others)
    errors = means - true
    assert np.sqrt(np.mean(errors**2)) < true.std() / 3
    assert np.mean(np.abs(errors) < 2 * stds) > 0.8


def test_it_tells_noise_from_what_it_knows(predictor, codes):
    assert 0.015 < predictor.noise < 0.025
    _, known = predictor.predict(codes)
    assert known.mean() < predictor.noise


def test_its_error_is_that_of_predicting_a_new_measurement(predictor):
    others = drawn(200, seed=3)
    measured = accuracies(others) + np.random.default_rng(4).normal(0, 0.02, size=len(others))
    means, _ = predictor.predict(others)
    assert predictor.error == pytest.approx(np.sqrt(np.mean((means - measured) ** 2)), rel=0.25)


def test_leaving_one_out_is_predicting_it_from_the_others(codes, noisy):
    # The kernel is found on the first 25 values, so that leaving out the last one does not change it.
    whole = AccuracyPredictor(ENCODING, codes[:30], noisy[:30])
    without = AccuracyPredictor(ENCODING, codes[:29], noisy[:29])
    mean, std = (part[0] for part in without.predict(codes[29:30]))
    means, stds = whole.left_out()
    assert means[-1] == pytest.approx(mean, abs=1e-6)
    assert stds[-1] == pytest.approx(np.hypot(std, without.noise), rel=1e-4)


def test_the_unit_does_not_matter(codes, noisy, predictor):
    others = drawn(20, seed=5)
    means, stds = predictor.predict(others)
    percent_means, percent_stds = AccuracyPredictor(ENCODING, codes, 100 * noisy - 7).predict(others)
    np.testing.assert_allclose(percent_means, 100 * means - 7, rtol=1e-6)
    np.testing.assert_allclose(percent_stds, 100 * stds, rtol=1e-4)


def test_equal_values_are_predicted_everywhere(codes):
    flat = AccuracyPredictor(ENCODING, codes, np.full(len(codes), 0.5))
    means, _ = flat.predict(drawn(20, seed=6))
    np.testing.assert_allclose(means, 0.5)


@pytest.mark.parametrize(
    ("number", "values", "message"),
    [
        (1, [0.5], "`values` must be two or more"),
        (3, [0.5, 0.6], "`values` must be as many as candidates"),
        (3, [0.5, 0.6, float("nan")], "`values` must be finite"),
    ],
)
def test_values_that_say_nothing_are_an_error(codes, number, values, message):
    with pytest.raises(InvalidInputError, match=message):
        AccuracyPredictor(ENCODING, codes[:number], np.array(values))
