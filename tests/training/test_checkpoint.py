"""A training that was kept on its way and goes on ends where it would have ended, to the last bit."""

import logging
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nas.data import Dataset
from nas.errors import InvalidInputError
from nas.models import build_model
from nas.training.checkpoint import Checkpoint
from nas.training.loop import Trainer, fit, normaliser, reestimate_batch_norm
from nas.training.recipe import Recipe
from nas.training.state import TrainingState
from tests.stripes import space, striped

CPU = torch.device("cpu")
SPEC = replace(space.reference, dropout=0.3, stochastic_depth=0.3)
RECIPE = Recipe(batch_size=20)
DATA = Dataset("stripes", striped(70, 0), striped(30, 1), ("across", "down"), "", 0)
EPOCHS, STEPS = 3, 9
NORMALISE = normaliser(DATA)
WHAT = "a training"


class KilledError(Exception):
    """Ends a training as a kill does: nothing comes after it."""


class Watch:
    """Sees every step: a companion that keeps the losses, a clock that counts a second a step, and a killer."""

    def __init__(self, kill_in: int = 0) -> None:
        self.now, self.kill_in = 0.0, kill_in
        self.seen: list[float] = []

    def __call__(self, step, loss):
        self.now += 1
        self.seen.append(loss.item())
        if step == self.kill_in:
            raise KilledError

    def clock(self) -> float:
        return self.now

    def notes(self):
        return {"seen": self.seen}

    def recall(self, notes, training):
        self.seen = notes["seen"]
        assert len(self.seen) == len(training.losses) == training.batches.step


def keeper(path, watch, every_s=1.0, what=WHAT):
    return Checkpoint(path, what, watch, every_s=every_s, clock=watch.clock)


def train(path, watch, *, seed=0, recipe=RECIPE, device=CPU, every_s=1.0):
    """Train, and let BatchNorm see images, which draws random numbers too; return all that came out."""
    torch.manual_seed(seed)
    trainer = Trainer(build_model(SPEC, num_classes=2, in_channels=1), recipe, device)
    data = DATA.train.to(device)
    keep = None if path is None else keeper(path, watch, every_s)
    loss = fit(trainer, data, EPOCHS, NORMALISE, 7, watch, keeper=keep)
    average = {} if trainer.average is None else trainer.average.averaged(trainer.model).state_dict()
    reestimate_batch_norm(trainer.model, data, NORMALISE, num_batches=1)
    found = {"loss": torch.tensor(loss), "seen": torch.tensor(watch.seen), **trainer.model.state_dict()}
    return found | {f"average {name}": value for name, value in average.items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "a.safetensors"


@pytest.fixture
def kept(path):
    """The file of a training that was killed in its fifth step."""
    with pytest.raises(KilledError):
        train(path, Watch(kill_in=5))
    return path


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, optimizer="sgd"),
        replace(RECIPE, optimizer="rmsprop"),
        replace(RECIPE, optimizer="rmsprop", ema_decay=0.999, clip_grad_norm=1.0, accumulate=2),
    ],
    ids=["adamw", "sgd", "rmsprop", "all"],
)
@pytest.mark.parametrize("step", [1, 3, 5, 8])
def test_goes_on_to_the_last_bit(path, recipe, step):
    """Three steps are an epoch."""
    whole = train(None, Watch(), recipe=recipe)
    with pytest.raises(KilledError):
        train(path, Watch(kill_in=step + 1), recipe=recipe)
    assert TrainingState.load(path, WHAT).step == step
    watch = Watch()
    assert_same(train(path, watch, seed=1, recipe=recipe), whole)
    assert watch.now == STEPS - step  # Nothing was done again.


def test_killed_again_and_again(path):
    whole = train(None, Watch())
    for step in range(2, STEPS + 1):
        with pytest.raises(KilledError):
            train(path, Watch(kill_in=step), seed=step - 2)
    assert_same(train(path, Watch(), seed=99), whole)
    keep = keeper(path, Watch())
    keep.remove()
    keep.remove()
    assert not path.exists()


def test_seconds_of_earlier_attempts_are_kept(kept):
    for kill_in in (7, 9):
        with pytest.raises(KilledError):
            train(kept, Watch(kill_in=kill_in))
    assert TrainingState.load(kept, WHAT).notes["elapsed_s"] == 8.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_goes_on_where_it_was_on_an_accelerator(path):
    whole = train(None, Watch(), device=torch.device("cuda"))
    with pytest.raises(KilledError):
        train(path, Watch(kill_in=5), device=torch.device("cuda"))
    found = train(path, Watch(), seed=1, device=torch.device("cuda"))
    assert torch.allclose(found["seen"], whole["seen"], atol=1e-2)


@pytest.mark.parametrize(
    ("every_s", "steps"), [(1.0, [1, 2, 3, 4, 5, 6, 7, 8]), (2.0, [2, 4, 6]), (4.0, [4]), (5.0, [])]
)
def test_is_written_now_and_then_unless_little_is_to_come(path, monkeypatch, every_s, steps):
    written = []
    save = TrainingState.save
    monkeypatch.setattr(TrainingState, "save", lambda state, *args: (written.append(state.step), save(state, *args)))
    train(path, Watch(), every_s=every_s)
    assert written == steps
    assert path.exists() == bool(steps)


def test_writing_that_takes_long_is_done_less_often(path, monkeypatch):
    watch, written = Watch(), []

    def slow(state, *_):
        written.append(state.step)
        watch.now += 0.125

    monkeypatch.setattr(TrainingState, "save", slow)
    train(path, watch)
    assert written == [1, 4, 7]


def test_is_no_pickle(kept):
    assert kept.read_bytes()[8:9] == b"{"


def test_another_training_is_passed_over(kept, caplog):
    with pytest.raises(InvalidInputError, match="`checkpoint` must be of another, got 'a training'"):
        TrainingState.load(kept, "another")


def damage(content, rng):
    """Return some way in which a file may have been changed."""
    place = rng.randrange(len(content))
    match rng.randrange(4):
        case 0:
            return content[:place]
        case 1:
            return content + b"more"
        case 2:
            return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
        case _:
            return content[:place] + content[place + 1 :]


def test_a_damaged_file_is_recognised(kept):
    content, rng = kept.read_bytes(), random.Random(0)
    for _ in range(150):
        kept.write_bytes(damage(content, rng))
        with pytest.raises(InvalidInputError, match="`checkpoint` must be"):
            TrainingState.load(kept, WHAT)


@pytest.mark.parametrize("fault", ["torn", "foreign", "folder"])
def test_without_a_usable_file_training_begins_anew(kept, fault, caplog):
    if fault == "torn":
        kept.write_bytes(kept.read_bytes()[:-1])
    else:
        kept.unlink()
        save_file({"a": torch.zeros(1)}, kept) if fault == "foreign" else kept.mkdir()
    assert_same(train(kept, Watch()), train(None, Watch()))
    assert "A training begins anew" in caplog.text


def test_where_nothing_can_be_written_training_goes_on(tmp_path, caplog):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a", tmp_path / "no" / "folder" / "a"):
        assert_same(train(path, Watch()), train(None, Watch()))
    assert "A training cannot be kept in" in caplog.text
    assert [entry.name for entry in Path(tmp_path).iterdir()] == ["file"]


def test_going_on_is_logged(kept, caplog):
    with caplog.at_level(logging.INFO):
        train(kept, Watch())
    assert "Training goes on at step 4 of 9." in caplog.text
