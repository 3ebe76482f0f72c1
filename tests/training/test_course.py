import pytest
import torch

from nas.models import build_model
from nas.training.batches import TrainingBatches
from nas.training.course import Course
from nas.training.loop import Trainer, fit, normaliser, one_phase, run
from nas.training.recipe import Recipe
from nas.training.validation import validate

CPU = torch.device("cpu")
RECIPE = Recipe(batch_size=50)


def make_trainer(spec):
    torch.manual_seed(0)
    return Trainer(build_model(spec, num_classes=2, in_channels=1), RECIPE, CPU)


def train(dataset, spec, num_epochs=3, patience=None):
    trainer, epochs, steps, normalise = make_trainer(spec), [], [], normaliser(dataset)
    batches = TrainingBatches(dataset.train, one_phase(RECIPE, num_epochs, normalise), 0)
    course = Course(
        trainer,
        dataset,
        batches,
        normalise,
        on_step=steps.append,
        on_epoch=lambda epoch, model: epochs.append((epoch, model)),
        patience=patience,
    )
    run(trainer, batches, course)
    return trainer, epochs, steps, course


def test_every_epoch_is_validated(dataset, spec):
    _, epochs, steps, course = train(dataset, spec)
    model, validation = course.last_validated()
    assert steps == list(range(1, 16))
    assert [(epoch.epoch, epoch.step, epoch.image_size) for epoch, _ in epochs] == [
        (1, 5, 16),
        (2, 10, 16),
        (3, 15, 16),
    ]
    assert [epoch.learning_rate for epoch, _ in epochs] == [RECIPE.rate(step, 15) for step in (4, 9, 14)]
    for epoch, validated in epochs:
        again = validate(validated, dataset.val, normaliser(dataset))
        assert (epoch.val_accuracy, epoch.val_loss) == (again.accuracy, again.loss)
    assert course.epochs == [epoch for epoch, _ in epochs]
    assert epochs[-1][1] is model
    assert validate(model, dataset.val, normaliser(dataset)) == validation
    for times in ([epoch.train_s for epoch, _ in epochs], [epoch.elapsed_s for epoch, _ in epochs]):
        assert times == sorted(set(times))
    assert all(0 < epoch.train_s < epoch.elapsed_s for epoch, _ in epochs)


def test_patience_ends_a_training_that_gets_no_better(dataset, spec):
    """All validation images are told apart after some epochs: accuracy rises no more."""
    _, epochs, steps, course = train(dataset, spec, num_epochs=40, patience=2)
    accuracies = [epoch.val_accuracy for epoch in course.epochs]
    best = accuracies.index(max(accuracies))
    assert len(epochs) == best + 3 < 40
    assert len(steps) == 5 * len(epochs)


def test_validating_does_not_disturb_the_training(dataset, spec):
    """The network has dropout and stochastic depth, so a single number drawn on the way would show."""
    looked_at, epochs, _, _ = train(dataset, spec)
    alone, losses = make_trainer(spec), []
    fit(alone, dataset.train, 3, normaliser(dataset), 0, lambda _, loss: losses.append(loss.item()))
    other = alone.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in looked_at.model.state_dict().items())
    means = [sum(losses[start : start + 5]) / 5 for start in (0, 5, 10)]
    assert [epoch.train_loss for epoch, _ in epochs] == pytest.approx(means)
