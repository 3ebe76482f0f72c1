"""The estimate beside what a few networks are measured to hold, and what must be in it to the byte."""

import pytest
import torch

from nas import InvalidInputError
from nas.complexity import complexity
from nas.evaluation.memory import peak_memory_bytes
from nas.evaluation.training_memory import estimate_training_memory
from nas.models import build_model, get_arch
from nas.training.loop import Trainer
from nas.training.recipe import Recipe
from search_spaces.efficientnet_v2_tiny import space

CPU = torch.device("cpu")
B0 = get_arch("efficientnet_v2_b0")


def estimate(spec=B0, **changes):
    return estimate_training_memory(
        spec, **{"num_classes": 10, "in_channels": 3, "batch_size": 8, "image_size": 64} | changes
    )


def measured(spec, batch_size, image_size, recipe=None):
    def train():
        trainer = Trainer(build_model(spec, 10, 3), recipe or Recipe(), CPU)
        trainer.model.train()
        images = torch.zeros(batch_size, 3, image_size, image_size).contiguous(memory_format=torch.channels_last)
        for _ in range(2):
            trainer.step(images, torch.zeros(batch_size, dtype=torch.int64))

    return peak_memory_bytes(train, CPU)


@pytest.fixture(scope="module")
def _libraries_loaded():
    """The first steps of a process load libraries, which counts as memory; those of any network."""
    measured(space.reference, 64, 32)


@pytest.mark.usefixtures("_libraries_loaded")
@pytest.mark.parametrize(
    ("spec", "batch_size", "image_size"),
    [
        (space.reference, 128, 32),
        (space.decode(space.sample(0)), 128, 32),
        (space.decode(space.sample(4)), 128, 32),
        (B0, 8, 64),
        (get_arch("efficientnet_v2_s"), 4, 64),
    ],
    ids=["reference", "random 0", "random 4", "b0", "s"],
)
def test_near_what_is_measured(spec, batch_size, image_size):
    found = measured(spec, batch_size, image_size)
    if found is None:
        pytest.skip("this system does not tell a process's peak memory")
    ratio = estimate(spec, batch_size=batch_size, image_size=image_size) / found
    print(f"estimated / measured {ratio:.2f}")
    assert 0.6 < ratio < 1.6


def test_optimizers_differ_by_their_state():
    weights = 4 * complexity(space.reference, num_classes=10, in_channels=3).num_params
    adamw, sgd, plain, rmsprop, plain_rmsprop = (
        estimate(space.reference, recipe=Recipe(optimizer=optimizer, momentum=momentum))
        for optimizer, momentum in (("adamw", 0.9), ("sgd", 0.9), ("sgd", 0.0), ("rmsprop", 0.9), ("rmsprop", 0.0))
    )
    assert adamw - sgd == sgd - plain == weights
    assert (rmsprop, plain_rmsprop) == (adamw, sgd)
    assert estimate(space.reference, recipe=Recipe(ema_decay=0.9)) - adamw == weights


def test_a_batch_in_parts_takes_what_a_part_takes():
    assert estimate(space.reference, batch_size=24, recipe=Recipe(accumulate=3)) == estimate(
        space.reference, batch_size=8
    )
    assert estimate(space.reference, batch_size=22, recipe=Recipe(accumulate=3)) == estimate(
        space.reference, batch_size=8
    )


def test_what_backward_needs_grows_with_the_batch():
    one, two, three = (estimate(batch_size=8 * n) for n in (1, 2, 3))
    assert two - one == three - two > 0


def test_half_precision_saves_half_of_what_backward_needs_and_copies_weights():
    copies = 2 * complexity(B0, num_classes=10, in_channels=3).num_params
    full, half = (
        estimate(batch_size=64, dtype=dtype) - estimate(batch_size=32, dtype=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert half == pytest.approx(full / 2, rel=0.01)
    fixed = [
        2 * estimate(batch_size=32, dtype=d) - estimate(batch_size=64, dtype=d) for d in (torch.float32, torch.bfloat16)
    ]
    assert fixed[1] - fixed[0] == pytest.approx(copies, rel=0.05)


def test_image_size_is_the_specs_unless_given():
    assert estimate(image_size=None) == estimate(image_size=B0.train_image_size) > estimate(image_size=64)


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"image_size": 0}, {"num_classes": 0}])
def test_bad_numbers_are_refused(changes):
    with pytest.raises(InvalidInputError, match=next(iter(changes))):
        estimate(**changes)
