import io
import re

import pytest
from rich.console import Console

from nas.training.course import Epoch
from nas.training.progress import Effort, LiveTrainingDisplay, PlainTrainingDisplay, make_training_display


def show(console):
    with make_training_display(Effort(((10, 1.0),)), 2, console) as display:
        for step in range(1, 11):
            display.step(step)
            if step % 5 == 0:
                display.epoch(
                    Epoch(step // 5, step, 16, 1.25, 0.5, 0.75, 0.001, train_s=step * 1.0, elapsed_s=step * 2.0)
                )
    return display


def test_a_line_an_epoch_where_there_is_no_terminal():
    out = io.StringIO()
    assert isinstance(show(Console(file=out)), PlainTrainingDisplay)
    assert out.getvalue().splitlines() == [
        "[1/2] train loss 1.250  val accuracy 0.500  val loss 0.750  10.0 s  ETA 10 s",
        "[2/2] train loss 1.250  val accuracy 0.500  val loss 0.750  20.0 s  ETA 0 s",
    ]


@pytest.mark.parametrize("width", [60, 120])
def test_a_bar_with_the_time_left_on_a_terminal(width):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width)
    assert isinstance(show(console), LiveTrainingDisplay)
    assert "10/10" in out.getvalue()
    assert "ETA" in out.getvalue()
    assert "[1/2] train loss 1.250" in out.getvalue()


GROWING = Effort(((10, 1.0), (10, 4.0)))
"""Ten steps of a second each, then ten of four."""


def test_the_share_of_the_work_weighs_steps():
    assert GROWING.num_steps == 20
    assert [GROWING.share(step) for step in (0, 5, 10, 15, 20)] == [0, 0.1, 0.2, 0.6, 1]


def epoch_at(step, train_s, validation_s):
    return Epoch(step // 5, step, 16, 1.0, 0.5, 0.5, 0.001, train_s=train_s, elapsed_s=train_s + validation_s)


def test_the_time_left_of_growing_images_is_not_that_of_small_ones():
    out = io.StringIO()
    with PlainTrainingDisplay(Console(file=out), GROWING, 4) as display:
        for step, train_s in ((5, 5.0), (10, 10.0), (15, 30.0), (20, 50.0)):
            display.epoch(epoch_at(step, train_s, validation_s=2.0 * step / 5))
    assert re.findall(r"ETA (\d+) s", out.getvalue()) == ["51", "44", "22", "0"]


@pytest.mark.parametrize("first", [1, 7])
def test_so_it_is_with_the_bar(first):
    """Also where a training goes on: its earlier steps took no time in this process."""
    out, now_s = io.StringIO(), 100.0
    console = Console(file=out, force_terminal=True, width=120)
    with LiveTrainingDisplay(console, GROWING, 4, clock=lambda: now_s) as display:
        for step in range(first, 11):
            now_s += 1.0
            display.step(step)
        now_s += 1.0  # The bar computes a time anew at most twice a second, and once more at its end.
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue())
    assert re.findall(r"step 10/20 .*ETA (\d:\d\d:\d\d)", plain)[-1] == "0:00:40"
