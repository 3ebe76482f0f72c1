"""What every optimizer and every part of a step has to keep to."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from nas import InvalidInputError
from nas.models import build_model
from nas.training.loop import Trainer, fit, normaliser
from nas.training.recipe import Recipe
from nas.training.validation import validate

CPU = torch.device("cpu")
RECIPES = {
    "adamw": Recipe(batch_size=50, flip=False, shift=0),
    "sgd": Recipe(optimizer="sgd", learning_rate=0.1, batch_size=50, weight_decay=1e-4, flip=False, shift=0),
    "plain sgd": Recipe(optimizer="sgd", learning_rate=0.1, batch_size=50, nesterov=False, flip=False, shift=0),
    "rmsprop": Recipe(optimizer="rmsprop", learning_rate=0.003, batch_size=50, weight_decay=1e-5, flip=False, shift=0),
}


@pytest.fixture(params=RECIPES)
def recipe(request):
    return RECIPES[request.param]


def linear_model(seed=0):
    """No BatchNorm and no random numbers: parts of a batch add up."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.SiLU(), nn.Linear(5, 3))


def batch(num_images=10):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (num_images,), generator=generator)
    return torch.randn(num_images, 3, 2, 2, generator=generator), labels


def after_steps(recipe, num_steps=3, dtype=torch.float32, model=None):
    """Return the losses and weights of a few steps on one batch."""
    trainer = Trainer(model or linear_model(), recipe, CPU, dtype=dtype)
    losses = [trainer.step(*batch()) for _ in range(num_steps)]
    return torch.stack(losses), torch.cat([each.detach().flatten() for each in trainer.model.parameters()])


def test_the_loss_falls(dataset, spec, recipe):
    torch.manual_seed(0)
    trainer = Trainer(build_model(spec, num_classes=2, in_channels=1), recipe, CPU)
    losses = []
    fit(trainer, dataset.train, 3, normaliser(dataset), 0, lambda _, loss: losses.append(loss.item()))
    assert sum(losses[-5:]) / 5 < 0.8 * losses[0]


def test_an_average_of_a_short_training_tells_images_apart(dataset, spec):
    torch.manual_seed(0)
    recipe = Recipe(batch_size=50, flip=False, shift=0, ema_decay=0.9999)
    trainer = Trainer(build_model(spec, num_classes=2, in_channels=1), recipe, CPU)
    fit(trainer, dataset.train, 5, normaliser(dataset), 0)
    averaged = trainer.average.averaged(trainer.model)
    assert trainer.average.num_updates == 25
    assert validate(averaged, dataset.val, normaliser(dataset)).accuracy > 0.9


def test_nothing_is_averaged_unless_asked_for(spec, recipe):
    assert Trainer(build_model(spec), recipe, CPU).average is None


@pytest.mark.parametrize("accumulate", [2, 3, 5])
def test_parts_of_a_batch_add_up_to_it(recipe, accumulate):
    """Ten images in three parts are of unequal size."""
    in_parts = replace(recipe, accumulate=accumulate)
    for found, wanted in zip(after_steps(in_parts), after_steps(recipe), strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)


def test_a_small_batch_has_fewer_parts(spec):
    model = build_model(spec, num_classes=3, in_channels=3)
    sizes = []
    model.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    trainer = Trainer(model, Recipe(batch_size=64, accumulate=8), CPU)
    for num_images in (64, 7, 2):
        trainer.step(torch.randn(num_images, 3, 16, 16), torch.zeros(num_images, dtype=torch.int64))
    assert sizes == [8] * 8 + [3, 2, 2] + [2]


def test_shares_of_classes_are_targets_as_labels_are(recipe):
    inputs, labels = batch()
    by_label, by_share = (Trainer(linear_model(), recipe, CPU) for _ in range(2))
    for _ in range(3):
        losses = by_label.step(inputs, labels), by_share.step(inputs, functional.one_hot(labels, 3).float())
        assert torch.allclose(*losses, atol=1e-6)
    pairs = zip(by_label.model.parameters(), by_share.model.parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in pairs)


def test_mixed_targets_have_the_mixed_loss():
    inputs, labels = batch()
    others = labels.flip(0)
    mixed = 0.7 * functional.one_hot(labels, 3) + 0.3 * functional.one_hot(others, 3)
    loss, one, other = (
        Trainer(linear_model(), Recipe(), CPU).step(inputs, targets).item() for targets in (mixed, labels, others)
    )
    assert loss == pytest.approx(0.7 * one + 0.3 * other, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_long_gradients_are_shortened_after_the_loss_scale_is_taken_out(dtype, limit):
    """Plain SGD with rate 1 moves weights by the gradient itself."""
    plain = {"optimizer": "sgd", "learning_rate": 1.0, "momentum": 0.0, "weight_decay": 0.0, "warmup_fraction": 0.0}
    before = torch.cat([each.detach().flatten() for each in linear_model().parameters()])
    free, clipped = (before - after_steps(Recipe(**plain, clip_grad_norm=each), 1, dtype)[1] for each in (None, limit))
    assert 0.01 < free.norm() < 100
    wanted = free * min(1, limit / free.norm())
    # Differences of weights near 1 have seven digits of them.
    assert torch.allclose(clipped, wanted, atol=3e-7, rtol=1e-2 if dtype == torch.float16 else 1e-5)


def test_a_loss_scale_that_is_too_large_costs_a_step_and_spoils_nothing(recipe):
    recipe = replace(recipe, clip_grad_norm=1.0, ema_decay=0.99)
    trainer = Trainer(linear_model(), recipe, CPU, dtype=torch.float16)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    before = copy.deepcopy(trainer.model.state_dict())
    inputs, labels = batch()
    trainer.step(inputs, labels)
    assert all(torch.equal(trainer.model.state_dict()[name], value) for name, value in before.items())
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    first = trainer.step(inputs, labels)
    for _ in range(20):
        last = trainer.step(inputs, labels)
    assert last < first
    assert all(value.isfinite().all() for value in trainer.average.state_dict().values())


def strengths(model):
    blocks = [module for module in model.modules() if hasattr(module, "stochastic_depth")]
    return model.classifier[0].p, [block.stochastic_depth.p for block in blocks]


def test_regularisation_is_what_a_network_would_have_been_built_with(spec):
    trainer = Trainer(build_model(spec), Recipe(), CPU)
    built = strengths(trainer.model)
    for changes in ({"dropout": 0.4, "stochastic_depth": 0.0}, {"dropout": 0.0, "stochastic_depth": 0.5}):
        trainer.set_regularisation(**changes)
        assert strengths(trainer.model) == strengths(build_model(spec, **changes))
    trainer.set_regularisation(dropout=0.3, stochastic_depth=None)
    assert strengths(trainer.model) == (0.3, built[1])
    trainer.set_regularisation(dropout=None, stochastic_depth=None)
    assert strengths(trainer.model) == built


def test_regularisation_acts_on_the_next_step(spec):
    trainer = Trainer(build_model(spec, num_classes=3), Recipe(learning_rate=1e-12), CPU)
    images = torch.randn(16, 3, 16, 16)

    def outputs(**changes):
        trainer.set_regularisation(**changes)
        return [trainer.model(images) for _ in range(2)]

    assert torch.equal(*outputs(dropout=0.0, stochastic_depth=0.0))
    assert not torch.equal(*outputs(dropout=0.9, stochastic_depth=0.0))
    assert not torch.equal(*outputs(dropout=0.0, stochastic_depth=0.9))


@pytest.mark.parametrize(("name", "value"), [("dropout", 1.5), ("stochastic_depth", -0.1)])
def test_probabilities_out_of_range_are_refused(spec, name, value):
    trainer = Trainer(build_model(spec), Recipe(), CPU)
    before = strengths(trainer.model)
    with pytest.raises(InvalidInputError, match=f"`{name}` must be"):
        trainer.set_regularisation(**{"dropout": None, "stochastic_depth": None, name: value})
    assert strengths(trainer.model) == before


def test_a_network_of_another_kind_keeps_its_regularisation():
    trainer = Trainer(linear_model(), Recipe(), CPU)
    trainer.set_regularisation(dropout=None, stochastic_depth=None)
    with pytest.raises(InvalidInputError, match="`model` must be an EfficientNet"):
        trainer.set_regularisation(dropout=0.1, stochastic_depth=None)
