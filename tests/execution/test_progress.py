"""What displays say, computed from events of real searches."""

import io
import logging
import sys
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nas.evaluation.measurement import Measurement
from nas.execution import InProcessExecutor
from nas.execution.events import Event, Failed, Finished, Measured, Opened, Outside, Repeated, Started, Stopping
from nas.execution.progress import LiveDisplay, PlainDisplay, make_display
from nas.execution.tally import Front, Tally, duration
from nas.optimization.objectives import measurement_reward
from tests.execution.support import Analytic, make_space, measure, open_study, search

SPACE = make_space()
SPEC = SPACE.reference


def measured(number: int = 0, accuracy: float = 0.8125) -> Measured:
    plain = {**measure(SPEC).to_dict(), "accuracy": accuracy, "step_time_s": 0.0213, "relative_step_time": 0.84}
    measurement = Measurement.from_dict({**plain, "num_params": 310_000, "relative_params": 1.0, "wall_s": 12.1})
    return Measured(number, SPEC, measurement, measurement_reward(measurement))


def plain_lines(*events: Event) -> list[str]:
    out = io.StringIO()
    with PlainDisplay(Console(file=out, width=40)) as display:
        for event in events:
            display(event)
    return out.getvalue().splitlines()


def test_one_line_a_candidate_with_its_facts() -> None:
    lines = plain_lines(
        Opened(200, ()),
        Started(0, SPEC, "sampler"),
        measured(0),
        Outside(1, 0.3),
        Repeated(2, 0),
        Started(3, SPEC, "sampler"),
        Failed(3, SPEC, "out of memory: MemoryError: [bold] (a.py:1)"),
    )
    assert len(lines) == 2
    assert lines[0].startswith(
        "[  1/200] #0 accuracy 0.812 ±0.004  step 21.3 ms (0.84x)  0.31 M params  reward 0.8225  front 1  12.1 s  ETA "
    )
    assert lines[1].startswith("[  2/200] #3 failed, out of memory: MemoryError: [bold] (a.py:1)  front 1  ETA ")


@pytest.mark.parametrize(
    ("finished", "text"),
    [
        (Finished(2, False, False), "2 of 2 candidates evaluated in "),
        (Finished(1, True, False), "interrupted; "),
        (Finished(1, False, True), "no network of the space is left that was not evaluated; "),
    ],
)
def test_the_end_says_why(finished: Finished, text: str) -> None:
    *_, last = plain_lines(Opened(2, (measured(),)), Stopping(1), finished)
    assert text in last


def test_resuming_counts_what_is_there(tmp_path: Path) -> None:
    study, whole, rest = open_study(), Tally(), Tally()
    with InProcessExecutor(Analytic(tmp_path / "log", fault="raise")) as executor:
        events: list[Event] = []
        search(study, executor, budget=20, events=events)
        search(study, executor, budget=30, events=events)
    for event in events:
        if isinstance(event, Opened) and event.past:
            break
        whole.count(event)
    rest.count(event)
    assert (rest.num_measured, rest.num_failed, rest.best, len(rest.front)) == (
        whole.num_measured,
        whole.num_failed,
        whole.best,
        len(whole.front),
    )
    assert rest.num_done == 20
    assert rest.num_failed > 0
    assert rest.per_minute is None
    assert rest.eta_s is None


def test_time_begins_with_the_display_where_no_search_is_open_yet():
    now = 40_000.0
    assert Tally(clock=lambda: now).elapsed_s == 0


def test_the_pace_is_that_of_this_sitting() -> None:
    ticks = count(0, 10)
    now = [0.0]
    tally = Tally(clock=lambda: now[0])
    tally.count(Opened(10, tuple(measured(number) for number in range(4))))
    for number in range(4, 6):
        now[0] = float(next(ticks) + 10)
        tally.count(Started(number, SPEC, "sampler"))
        tally.count(measured(number))
    assert tally.elapsed_s == 20
    assert tally.per_minute == pytest.approx(6)
    assert tally.eta_s == pytest.approx(40)
    assert tally.num_running == 0


@given(st.lists(st.tuples(*[st.integers(1, 5)] * 3), max_size=30))
def test_the_front_is_what_brute_force_finds(points: list[tuple[int, int, int]]) -> None:
    front = Front()
    for accuracy, time, params in points:
        plain = {**measure(SPEC).to_dict(), "accuracy": accuracy / 5, "relative_step_time": time, "num_params": params}
        front.add(Measurement.from_dict(plain))

    def beats(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
        return a != b and a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2]

    expected = [(-a / 5, t, p) for a, t, p in points if not any(beats(other, (a, t, p)) for other in points)]
    assert sorted(front.points) == sorted(expected)


def test_live_display_shows_the_state_and_keeps_log_lines_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    handler = logging.StreamHandler(out)
    logger = logging.getLogger("nas")
    logger.addHandler(handler)
    try:
        console = Console(file=out, force_terminal=True, width=160)
        with LiveDisplay(console) as display:
            assert handler.stream is not out
            display(Opened(5, (measured(0),)))
            display(Started(1, SPEC, "sampler"))
            display(Started(2, SPEC, "sampler"))
            display(measured(1, accuracy=0.9))
            logger.warning("worker 3 said something")
            with console.capture() as capture:
                console.print(display)
            view = capture.get()
        assert handler.stream is out
    finally:
        logger.removeHandler(handler)
    assert "worker 3 said something" in out.getvalue()
    assert "2/5" in view
    assert "best #1  accuracy 0.900" in view
    assert f"running #2  {SPEC.summary}" in view
    assert "front 1  stopped 0  failed 0  repeats and outside 0" in view


def test_live_display_follows_a_real_search(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with InProcessExecutor(Analytic(tmp_path / "log", fault="raise")) as executor, LiveDisplay(console) as display:
        events = _Both(display)
        search(open_study(), executor, budget=10, events=events)
        with console.capture() as capture:
            console.print(display)
    assert "10/10" in capture.get()
    assert "10 of 10 candidates evaluated" in capture.get()


class _Both(list[Event]):
    """A list of events that hands them on."""

    def __init__(self, display: LiveDisplay) -> None:
        super().__init__()
        self._display = display

    def append(self, event: Event) -> None:
        super().append(event)
        self._display(event)


def test_the_console_decides_on_the_display() -> None:
    assert isinstance(make_display(Console(file=io.StringIO(), force_terminal=True)), LiveDisplay)
    assert isinstance(make_display(Console(file=io.StringIO())), PlainDisplay)


def test_small_texts() -> None:
    assert [duration(s) for s in (None, 12.06, 1080, 8280)] == ["?", "12.1 s", "18 min", "2.3 h"]
