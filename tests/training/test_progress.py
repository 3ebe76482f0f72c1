import io

import pytest
from rich.console import Console

from nas.training.course import Epoch
from nas.training.progress import LiveTrainingDisplay, PlainTrainingDisplay, make_training_display


def show(console):
    with make_training_display(10, 2, console) as display:
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
