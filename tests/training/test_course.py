import pytest
import torch

from nas.models import build_model
from nas.training.course import fit_and_validate
from nas.training.loop import Trainer, fit, normaliser
from nas.training.recipe import Recipe
from nas.training.validation import validate

CPU = torch.device("cpu")
RECIPE = Recipe(batch_size=50)


def make_trainer(spec):
    torch.manual_seed(0)
    return Trainer(build_model(spec, num_classes=2, in_channels=1), RECIPE, CPU)


def run(dataset, spec, num_epochs=3):
    trainer, epochs, steps = make_trainer(spec), [], []
    last = fit_and_validate(
        trainer,
        dataset,
        num_epochs,
        normaliser(dataset),
        0,
        on_step=steps.append,
        on_epoch=lambda epoch, model: epochs.append((epoch, model)),
    )
    return trainer, epochs, steps, last


def test_every_epoch_is_validated(dataset, spec):
    _, epochs, steps, (model, validation) = run(dataset, spec)
    assert steps == list(range(1, 16))
    assert [(epoch.epoch, epoch.step) for epoch, _ in epochs] == [(1, 5), (2, 10), (3, 15)]
    assert [epoch.learning_rate for epoch, _ in epochs] == [RECIPE.rate(step, 15) for step in (4, 9, 14)]
    for epoch, validated in epochs:
        again = validate(validated, dataset.val, normaliser(dataset))
        assert (epoch.val_accuracy, epoch.val_loss) == (again.accuracy, again.loss)
    assert epochs[-1][1] is model
    assert validate(model, dataset.val, normaliser(dataset)) == validation
    elapsed = [epoch.elapsed_s for epoch, _ in epochs]
    assert elapsed == sorted(elapsed)


def test_validating_does_not_disturb_the_training(dataset, spec):
    """The network has dropout and stochastic depth, so a single number drawn on the way would show."""
    looked_at, epochs, _, _ = run(dataset, spec)
    alone, losses = make_trainer(spec), []
    fit(alone, dataset.train, 3, normaliser(dataset), 0, lambda _, loss: losses.append(loss.item()))
    other = alone.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in looked_at.model.state_dict().items())
    means = [sum(losses[start : start + 5]) / 5 for start in (0, 5, 10)]
    assert [epoch.train_loss for epoch, _ in epochs] == pytest.approx(means)
