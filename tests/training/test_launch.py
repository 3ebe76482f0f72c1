import pytest

from nas.errors import InvalidInputError
from nas.training.launch import Launch

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}


def test_torchrun_says_which_process_this_is():
    assert Launch.here(TORCHRUN) == Launch(rank=5, local_rank=1, size=8)
    assert not Launch.here(TORCHRUN).leads


def test_without_torchrun_it_is_the_only_one():
    del (alone := dict(TORCHRUN))["TORCHELASTIC_RUN_ID"]
    assert Launch.here(alone) == Launch.here({}) == Launch(0, 0, 1)
    assert Launch().leads


def test_every_process_needs_two_images_of_every_part():
    launch = Launch(0, 0, 4)
    launch.check_images("batch_size", 8)
    launch.check_images("batch_size", 24, parts=3)
    with pytest.raises(InvalidInputError, match=r"`batch_size` must be at least 8 with 4 processes, got 7"):
        launch.check_images("batch_size", 7)
    with pytest.raises(InvalidInputError, match="at least 24 with 4 processes and 3 parts, got 23"):
        launch.check_images("batch_size", 23, parts=3)
    Launch().check_images("batch_size", 1)  # One process has its own rules.


@pytest.mark.parametrize(("most", "num_images", "parts"), [(4, 64, 4), (4, 20, 2), (4, 5, 1), (1, 64, 1)])
def test_a_small_batch_has_fewer_parts(most, num_images, parts):
    assert Launch(0, 0, 4).num_parts(most, num_images) == parts
