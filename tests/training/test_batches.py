"""Phases of a training: which images each step gets, in which size, and where the learning rate's schedule is."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.training.batches import Phase, TrainingBatches
from tests.stripes import striped

IMAGES = striped(37, 0)


def numbered(images, labels, generator):
    """Give the images' numbers instead of images, and a random number in place of labels."""
    return images[:, 0, :2, :2].float(), torch.rand(1, generator=generator)


phases = st.lists(st.builds(Phase, st.integers(1, 3), st.integers(2, 50), st.just(numbered)), min_size=1, max_size=4)


@given(phases)
def test_every_epoch_has_whole_batches_and_ends_once(found):
    batches = TrainingBatches(IMAGES, found, 0)
    ends, epochs, steps = [], [], 0
    for inputs, _ in batches:
        steps += 1
        assert len(inputs) == min(batches.phase.batch_size, len(IMAGES))
        epochs.append(batches.epoch)
        ends.append(batches.ends_epoch)
    assert steps == batches.total == batches.step
    assert sum(ends) == epochs[-1] == sum(phase.num_epochs for phase in found)
    assert ends[-1]
    assert epochs == sorted(epochs)
    assert all(end == (one != other) for end, one, other in zip(ends, epochs, epochs[1:], strict=False))


@given(phases)
def test_an_epoch_is_the_same_stretch_of_the_schedule_in_every_phase(found):
    batches = TrainingBatches(IMAGES, found, 0)
    num_epochs = sum(phase.num_epochs for phase in found)
    starts, positions = [], []
    for _ in batches:
        positions.append(batches.schedule_position)
        if batches.epoch_step == 1:
            starts.append(batches.schedule_position)
    assert starts == pytest.approx([batches.total * epoch / num_epochs for epoch in range(num_epochs)])
    assert positions == sorted(set(positions))
    assert positions[0] == 0
    assert positions[-1] < batches.total


@pytest.mark.parametrize("num_epochs", [1, 3, 7])
@pytest.mark.parametrize("batch_size", [2, 5, 50])
def test_in_one_phase_the_schedule_goes_by_steps_to_the_last_bit(num_epochs, batch_size):
    batches = TrainingBatches(IMAGES, [Phase(num_epochs, batch_size, numbered)], 0)
    assert [batches.schedule_position for _ in batches] == list(range(batches.total))


def test_phases_go_on_drawing_where_the_last_one_ended():
    whole = [drawn.item() for _, drawn in TrainingBatches(IMAGES, [Phase(3, 10, numbered)], 4)]
    parts = [drawn.item() for _, drawn in TrainingBatches(IMAGES, [Phase(1, 10, numbered), Phase(2, 10, numbered)], 4)]
    assert whole == parts


def test_before_the_first_batch_there_is_no_epoch():
    batches = TrainingBatches(IMAGES, [Phase(1, 10, numbered)], 0)
    assert (batches.epoch, batches.epoch_step, batches.ends_epoch, batches.image_size) == (0, 0, False, 0)
    next(batches)
    assert (batches.epoch, batches.epoch_step, batches.ends_epoch, batches.image_size) == (1, 1, False, 2)
