from nas.evaluation.timing_history import MIN_HISTORY, TimingHistory
from tests.evaluation.timings import SHAPE, networks, noisy_seconds, seconds


def filled(number):
    history, specs = TimingHistory(SHAPE), networks(number)
    for spec, time in zip(specs, noisy_seconds(specs, 0.03), strict=True):
        history.add(spec, time)
    return history


def test_nothing_is_doubted_before_there_is_enough_to_go_by():
    history, (spec,) = filled(MIN_HISTORY - 1), networks(1, first_seed=200)
    assert history.predictor is None
    assert not history.is_suspicious(spec, 100 * seconds(spec))
    history.add(spec, seconds(spec))
    assert history.predictor is not None
    assert history.is_suspicious(spec, 100 * seconds(spec))


def test_only_times_far_from_the_others_are_doubted():
    history = filled(60)
    for spec in networks(20, first_seed=200):
        assert not any(history.is_suspicious(spec, factor * seconds(spec)) for factor in (0.98, 1.0, 1.03))
        assert all(history.is_suspicious(spec, factor * seconds(spec)) for factor in (0.6, 1.6))


def test_what_is_added_is_learnt():
    history = filled(40)
    before = history.predictor
    (spec,) = networks(1, first_seed=200)
    history.add(spec, seconds(spec))
    assert len(history.predictor.residuals) == len(before.residuals) + 1
