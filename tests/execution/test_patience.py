"""When a worker is taken to hang."""

import pytest

from nas.execution.patience import FIRST_LIMIT_S, MIN_LIMIT_S, Patience


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_given_limit_holds() -> None:
    patience = Patience(3.0)
    patience.learn(1e6)
    assert patience.limit_s == 3.0


def test_a_limit_is_derived_from_what_ended() -> None:
    patience = Patience()
    assert patience.limit_s == FIRST_LIMIT_S
    patience.learn(2.0)
    assert patience.limit_s == MIN_LIMIT_S
    for _ in range(2):
        patience.learn(100.0)
    assert patience.limit_s == 2000.0


def test_time_in_which_nobody_looked_does_not_count() -> None:
    clock = Clock()
    patience = Patience(clock=clock)
    for _ in range(10):
        clock.now += 0.5
        patience.now  # noqa: B018
    clock.now += 3600
    assert patience.now == pytest.approx(6.0)
    assert patience.now == pytest.approx(6.0)
