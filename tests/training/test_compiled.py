"""Networks that are compiled train as those that are not."""

import shutil

import pytest
import torch

from nas.errors import InvalidInputError
from nas.models import build_model
from nas.training.batches import TrainingBatches
from nas.training.compiled import CompiledTrainer, check_compiles
from nas.training.loop import Trainer, run
from nas.training.phases import make_phases
from nas.training.recipe import Recipe
from nas.training.schedule import ProgressiveSchedule

CPU = torch.device("cpu")
needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


def losses(kind, spec, dataset, schedule):
    torch.manual_seed(0)
    recipe = Recipe("sgd", learning_rate=0.1, batch_size=64)
    found = []
    batches = TrainingBatches(dataset.train, make_phases(schedule, 2, recipe, dataset), seed=0)
    trainer = kind(build_model(spec, dataset.num_classes, dataset.in_channels), recipe, CPU)
    run(trainer, batches, lambda _, loss: found.append(loss.item()))
    return found


@needs_a_compiler
@pytest.mark.slow
def test_it_has_the_losses_of_the_network_that_is_not_compiled_at_every_size(spec, dataset):
    off = {"dropout": (0.0, 0.0), "stochastic_depth": (0.0, 0.0)}
    schedule = ProgressiveSchedule.scaled(16, first_image_size=8, num_stages=2, **off)
    compiled = losses(CompiledTrainer, spec, dataset, schedule)
    assert compiled == pytest.approx(losses(Trainer, spec, dataset, schedule), abs=1e-3)


@needs_a_compiler
@pytest.mark.slow
def test_regularisation_takes_effect(spec, dataset):
    """A compiled network must not go on with the probabilities that it was compiled with."""
    trainer = CompiledTrainer(build_model(spec, 2, 1), Recipe(), CPU)
    images = torch.randn(8, 1, 16, 16).contiguous(memory_format=torch.channels_last)

    def spread():
        """Return how far apart two passes of the same images are."""
        return (trainer.forward(images) - trainer.forward(images)).abs().max().item()

    for name, other in (("dropout", "stochastic_depth"), ("stochastic_depth", "dropout")):
        trainer.set_regularisation(**{name: 0.0, other: 0.0})
        assert spread() == 0
        trainer.set_regularisation(**{name: 0.5, other: 0.0})
        assert spread() > 0.01
    trainer.set_regularisation(dropout=0.0, stochastic_depth=0.0)
    assert spread() == 0


def test_a_missing_compiler_is_said(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(config, "force_disable_caches", True)
    torch.compiler.reset()
    with pytest.raises(InvalidInputError, match="`compile` must be left out where nothing can be compiled for cpu"):
        check_compiles(CPU)
