import copy

import pytest
import torch
from torch import nn

from nas.data import Dataset
from nas.errors import DivergedError
from nas.models import build_model
from nas.training.batches import TrainingBatches
from nas.training.loop import (
    Trainer,
    fit,
    make_optimizer,
    normaliser,
    num_steps,
    one_phase,
    predict,
    reestimate_batch_norm,
)
from nas.training.recipe import Recipe
from nas.training.validation import validate
from tests.stripes import striped

CPU = torch.device("cpu")
RECIPE = Recipe(batch_size=50, flip=False, shift=0)


def batches(dataset, *, recipe=RECIPE, num_epochs=2, seed=0):
    return list(TrainingBatches(dataset.train, one_phase(recipe, num_epochs, normaliser(dataset)), seed))


def make_model(spec, seed=0):
    torch.manual_seed(seed)
    return build_model(spec, num_classes=2, in_channels=1)


def norms(model):
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("recipe", [RECIPE, Recipe(batch_size=50, flip=True, shift=3)])
def test_batches_depend_on_the_seed_alone(dataset, recipe):
    torch.manual_seed(1)
    first = batches(dataset, recipe=recipe)
    torch.manual_seed(2)  # What a network drew for its weights or its dropout.
    second = batches(dataset, recipe=recipe)
    other = batches(dataset, recipe=recipe, seed=1)
    assert all(torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True))
    assert not torch.equal(first[0][0], other[0][0])


def test_the_last_incomplete_batch_of_an_epoch_is_left_out(dataset):
    found = batches(dataset)
    assert [tuple(images.shape) for images, _ in found] == [(50, 1, 16, 16)] * 10  # 256 images: 5 batches an epoch.
    assert num_steps(dataset.train, RECIPE, 2) == 10


def test_a_set_smaller_than_a_batch_is_one_batch(dataset):
    few = Dataset("few", dataset.train.subset(7), dataset.val, dataset.class_names, "", 0)
    assert [len(labels) for _, labels in batches(few)] == [7, 7]
    assert num_steps(few.train, RECIPE, 2) == 2


def test_an_epoch_shows_every_image_at_most_once_and_epochs_differ(dataset):
    normalise = normaliser(dataset)
    everything = {image.numpy().tobytes() for image in normalise(dataset.train.images)}
    found = batches(dataset)
    shown = [[image.numpy().tobytes() for images, _ in epoch for image in images] for epoch in (found[:5], found[5:])]
    assert all(len(set(epoch)) == 250 and set(epoch) <= everything for epoch in shown)
    assert shown[0] != shown[1]


def test_fit_learns_what_anyone_can_tell_apart(dataset, spec):
    normalise = normaliser(dataset)
    trainer = Trainer(make_model(spec), RECIPE, CPU)
    steps = []
    loss = fit(trainer, dataset.train, 6, normalise, 0, lambda step, _: steps.append(step))
    reestimate_batch_norm(trainer.model, dataset.train, normalise)
    assert steps == list(range(1, 31))
    assert loss < 0.4
    assert validate(trainer.model, dataset.val, normalise).accuracy > 0.97


def test_fit_repeats_itself(dataset, spec):
    weights = []
    for _ in range(2):
        trainer = Trainer(make_model(spec), RECIPE, CPU)
        fit(trainer, dataset.train, 1, normaliser(dataset), 0)
        weights.append(trainer.model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
def test_an_absurd_learning_rate_diverges(dataset, spec, optimizer):
    recipe = Recipe(optimizer=optimizer, learning_rate=1e30, batch_size=50, weight_decay=0.5)
    with pytest.raises(DivergedError, match="training loss is"):
        fit(Trainer(make_model(spec), recipe, CPU), dataset.train, 4, normaliser(dataset), 0)


def test_a_loss_that_is_infinite_after_the_last_check_is_a_divergence(dataset, spec):
    trainer = Trainer(make_model(spec), RECIPE, CPU)
    losses = []

    def spoil(step, loss):
        losses.append(loss)
        if step == 44:  # Of 45 steps every second is checked.
            with torch.no_grad():
                trainer.model.classifier[1].bias.copy_(torch.tensor([3e38, -3e38]))

    with pytest.raises(DivergedError, match="training loss is inf at the end"):
        fit(trainer, dataset.train, 9, normaliser(dataset), 0, spoil)
    assert len(losses) == 45


def test_reestimated_statistics_are_those_of_the_batches(dataset, spec):
    model, normalise = make_model(spec), normaliser(dataset)
    first = norms(model)[0]
    inputs = []
    handle = first.register_forward_pre_hook(lambda _module, args: inputs.append(args[0]))
    reestimate_batch_norm(model, dataset.train.subset(200), normalise)  # All of them in one batch.
    handle.remove()
    assert [tuple(each.shape[:2]) for each in inputs] == [(200, 8)]
    pixels = inputs[0].transpose(0, 1).flatten(1).double()
    assert torch.allclose(first.running_mean.double(), pixels.mean(1), atol=1e-5)
    assert torch.allclose(first.running_var.double(), pixels.var(1), rtol=1e-4)


def test_reestimated_statistics_average_several_batches_evenly(dataset, spec):
    model, normalise = make_model(spec), normaliser(dataset)
    model.features[0][1].running_mean.fill_(1e6)  # What was there before must leave no trace.
    first, inputs = norms(model)[0], []
    first.register_forward_pre_hook(lambda _module, args: inputs.append(args[0]))
    reestimate_batch_norm(model, striped(700, 5), normalise, num_batches=2)
    assert [len(each) for each in inputs] == [256, 256]
    means = torch.stack([each.double().mean((0, 2, 3)) for each in inputs])
    variances = torch.stack([each.transpose(0, 1).flatten(1).double().var(1) for each in inputs])
    assert torch.allclose(first.running_mean.double(), means.mean(0), atol=1e-5)
    assert torch.allclose(first.running_var.double(), variances.mean(0), rtol=1e-4)


def test_reestimation_sees_every_class_of_images_that_are_in_order(spec):
    model = make_model(spec)
    in_order = striped(900, 0, num_classes=3, in_order=True)
    dataset = Dataset("in order", in_order, in_order, ("a", "b", "c"), "", 0)
    seen = []

    def normalise(images):
        seen.append(images)
        return normaliser(dataset)(images)

    reestimate_batch_norm(model, in_order, normalise, num_batches=1)
    labels = {image.numpy().tobytes(): label for image, label in zip(in_order.images, in_order.labels, strict=True)}
    counts = torch.stack([labels[image.numpy().tobytes()] for image in seen[0]]).bincount(minlength=3)
    assert counts.min() > 50


@pytest.mark.parametrize("training", [True, False])
def test_reestimation_leaves_momenta_mode_and_weights(dataset, spec, training):
    model = make_model(spec).train(training)
    for index, norm in enumerate(norms(model)):
        norm.momentum = 0.01 * (index + 1)
    before = copy.deepcopy(model)
    reestimate_batch_norm(model, dataset.train, normaliser(dataset))
    assert [norm.momentum for norm in norms(model)] == [norm.momentum for norm in norms(before)]
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_predict_is_in_evaluation_mode_and_keeps_the_mode(dataset, spec, training, monkeypatch):
    monkeypatch.setattr("nas.training.loop.EVAL_BATCH_SIZE", 40)  # 101 images: batches of 40, 40 and 21.
    model, normalise = make_model(spec).train(training), normaliser(dataset)
    before = copy.deepcopy(model.state_dict())
    logits = predict(model, dataset.val, normalise)
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        expected = model.eval()(normalise(dataset.val.images))
    assert logits.shape == (101, 2)
    assert torch.allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
def test_norms_and_biases_are_not_decayed(spec, optimizer):
    model = make_model(spec)
    groups = make_optimizer(model, Recipe(optimizer=optimizer, weight_decay=0.3)).param_groups
    decay_of = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(decay_of) == len(list(model.parameters()))
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_weight = isinstance(module, nn.Conv2d | nn.Linear) and name == "weight"
            assert decay_of[id(parameter)] == (0.3 if is_weight else 0.0)


def test_the_scheduled_rate_reaches_the_optimizer(dataset, spec):
    trainer = Trainer(make_model(spec), RECIPE, CPU)
    rates = []
    fit(
        trainer,
        dataset.train,
        1,
        normaliser(dataset),
        0,
        lambda *_: rates.append([group["lr"] for group in trainer.optimizer.param_groups]),
    )
    assert rates == [[RECIPE.rate(step, 5)] * 2 for step in range(5)]


def test_normalised_training_images_have_mean_0_and_spread_1_at_their_own_size(dataset):
    images = normaliser(dataset)(dataset.train.images)
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-3)
    assert normaliser(dataset, 24)(dataset.train.images[:3]).shape == (3, 1, 24, 24)
