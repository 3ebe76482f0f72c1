"""Processes that train together do what one process does."""

import datetime
import time

import pytest
import torch
import torch.distributed as dist

from nas import ArchSpec, StageSpec
from nas.errors import PeerLostError
from nas.models import build_model
from nas.training.batches import TrainingBatches
from nas.training.checkpoint import Checkpoint
from nas.training.launch import Launch
from nas.training.loop import Trainer, normaliser
from nas.training.parallel import ParallelTrainer, run_together
from nas.training.phases import make_phases
from nas.training.recipe import Recipe
from nas.training.schedule import ProgressiveSchedule
from nas.training.state import TrainingState
from nas.training.team import joined
from nas.training.validation import settled_copy, validate
from tests.training.teams import in_team, start_team

CPU = torch.device("cpu")
EPOCHS = 8
FIXED = ProgressiveSchedule.fixed(16)
GROWING = ProgressiveSchedule.scaled(
    16, first_image_size=8, num_stages=2, dropout=(0.1, 0.4), stochastic_depth=(0.1, 0.4), mixup_alpha=(0.2, 0.5),
    cutmix_alpha=(0.5, 0.5), randaugment_magnitude=(3, 8), random_erasing=(0.2, 0.2),
)  # fmt: skip
STAGES = (StageSpec("fused", 1, 3, 1, 8, 2), StageSpec("mbconv", 2, 3, 2, 16, 1, se_ratio=0.25))
SPEC = ArchSpec(8, STAGES, 32, stem_stride=2, dropout=0.0, stochastic_depth=0.0, train_image_size=16)
PLAIN = Recipe(batch_size=60)
RICH = Recipe(
    "sgd", learning_rate=0.1, weight_decay=1e-4, batch_size=61, accumulate=3, clip_grad_norm=1.0, ema_decay=0.9
)


class Kept:
    """A checkpoint after every step, which remembers the training."""

    def __init__(self, path):
        self._checkpoint = Checkpoint(path, "stripes", every_s=0.0)

    def resume(self, training):
        self.training = training
        self._checkpoint.resume(training)

    def after_step(self, training):
        self._checkpoint.after_step(training)


def trained(launch, path, spec, dataset, recipe, schedule, dtype=None, last_epoch=EPOCHS):
    """Train; return all tensors at the end, and the losses of the validations that this process made."""
    torch.manual_seed(0)
    model, validations = build_model(spec, dataset.num_classes, dataset.in_channels), []
    with joined(launch, CPU) as team:
        kind = (ParallelTrainer, team) if team else (Trainer, CPU)
        trainer = kind[0](model, recipe, kind[1], dtype=dtype)
        batches = TrainingBatches(dataset.train, make_phases(schedule, EPOCHS, recipe, dataset), seed=3)

        def on_step(step, loss):
            if batches.ends_epoch:
                averaged = trainer.model if trainer.average is None else trainer.average.averaged(trainer.model)
                settled = settled_copy(averaged, dataset.train, normaliser(dataset))
                validations.append(validate(settled, dataset.val, normaliser(dataset)).loss)
            return batches.epoch == last_epoch and batches.ends_epoch

        kept = Kept(path / "checkpoint.safetensors")
        run_together(team, trainer, batches, on_step if launch.leads else None, kept)
    return TrainingState.of(kept.training, {}).tensors, validations


@pytest.fixture
def alone(tmp_path, dataset):
    def train(*args):
        torch.set_num_threads(1)
        (tmp_path / "alone").mkdir()
        return trained(Launch(), tmp_path / "alone", SPEC, dataset, *args)

    return train


@pytest.fixture
def together(tmp_path, dataset):
    def train(size, *args):
        (tmp_path / "together").mkdir(exist_ok=True)
        return in_team(size, trained, tmp_path / "together", SPEC, dataset, *args)

    return train


def check_alike(found, alone):
    """Check all that changes in a training: the same bits in each process, and the numbers of one process."""
    (tensors, validations), *others = found
    assert len(tensors["losses"]) >= 30
    assert tensors["losses"][-1] < tensors["losses"][0]
    for each, validated in others:
        assert all(torch.equal(each[name], tensor) for name, tensor in tensors.items())
        assert validated == []
    assert tensors.keys() == alone[0].keys()
    torch.testing.assert_close(tensors["losses"], alone[0]["losses"], rtol=0, atol=1e-4)
    assert validations == pytest.approx(alone[1], abs=1e-4)
    assert all(torch.equal(tensors[name], alone[0][name]) for name in tensors if name.startswith("random."))


def test_two_processes_have_the_losses_of_one(alone, together):
    check_alike(together(2, PLAIN, FIXED), alone(PLAIN, FIXED))


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_unequal_shares_and_all_that_a_training_can_have(alone, together, size):
    whole, found = alone(RICH, GROWING), together(size, RICH, GROWING)
    check_alike(found, whole)
    # After AdamW's steps weights differ: it makes steps out of rounding errors where a gradient is 0.
    for name, tensor in whole[0].items():
        torch.testing.assert_close(found[0][0][name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_mixed_precision_with_a_scaled_loss(alone, together):
    """Rounding to 16 bits is coarse: the losses of the first steps are compared."""
    whole, found = alone(PLAIN, FIXED, torch.float16), together(2, PLAIN, FIXED, torch.float16)
    torch.testing.assert_close(found[0][0]["losses"][:8], whole[0]["losses"][:8], rtol=0, atol=5e-3)
    assert all(torch.equal(found[1][0][name], tensor) for name, tensor in found[0][0].items())


@pytest.mark.slow
def test_a_training_goes_on_with_another_number_of_processes(alone, together):
    together(2, RICH, GROWING, None, 3)
    found = together(3, RICH, GROWING)
    check_alike([(found[0][0], [])] + [(each, []) for each, _ in found[1:]], (alone(RICH, GROWING)[0], []))
    assert len(found[0][1]) == EPOCHS - 3 + 1  # It was kept before its third epoch ended.


def waits_for_the_leader(launch):
    with joined(launch, CPU, timeout=datetime.timedelta(seconds=0.5)) as team:
        if launch.leads:
            time.sleep(1)
        said = team.hear(f"said by {launch.rank}")
        team.add(total := torch.tensor([1.0 + launch.rank]))
    return said, total.item()


def test_the_leader_may_take_longer_than_a_message():
    assert in_team(2, waits_for_the_leader) == [("said by 0", 3.0)] * 2


def loses_the_other(launch):
    with joined(launch, CPU) as team:
        if not launch.leads:
            dist.destroy_process_group()
            raise KeyboardInterrupt
        team.add(torch.ones(1))


def test_who_loses_the_others_says_so():
    leader, other = start_team(2, loses_the_other)
    error = leader.exception(timeout=60)
    assert isinstance(error, PeerLostError), error
    assert isinstance(other.exception(timeout=60), KeyboardInterrupt)
    assert "Another process of this training has ended, or cannot be reached" in str(error)
