import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nas.errors import InvalidInputError
from nas.training.course import Epoch
from nas.training.tensorboard import Board


def epoch(number, accuracy):
    return Epoch(number, number * 5, 16, 1.0, accuracy, 0.5, 0.001, train_s=1.0 * number, elapsed_s=2.0 * number)


def test_an_epoch_that_was_trained_again_is_there_once(tmp_path):
    for attempt, numbers in enumerate([(1, 2, 3), (3, 4), (2, 3, 4, 5)]):
        board = Board(tmp_path / "tensorboard")
        for number in numbers:
            board.add(epoch(number, 0.1 * attempt))
        board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {*Epoch.__dataclass_fields__} - {"epoch"}
    found = [(event.step, event.value) for event in events.Scalars("val_accuracy")]
    assert found == [(1, 0.0), *((number, pytest.approx(0.2)) for number in (2, 3, 4, 5))]


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.training.tensorboard.find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match=r'`tensorboard` must be left out .* pip install "nas\[tensorboard\]"'):
        Board(tmp_path / "tensorboard")
    assert not (tmp_path / "tensorboard").exists()
