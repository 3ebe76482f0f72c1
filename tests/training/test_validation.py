import math

import pytest
import torch
from torch.nn import functional

from nas.models import build_model
from nas.training.loop import Trainer, normaliser, predict
from nas.training.recipe import Recipe
from nas.training.validation import accuracy_stderr, settled_copy, validate


@pytest.fixture
def model(spec):
    torch.manual_seed(0)
    return build_model(spec, num_classes=2, in_channels=1)


def test_accuracy_and_loss_by_hand(dataset, model):
    normalise = normaliser(dataset)
    found = validate(model, dataset.val, normalise)
    logits = predict(model, dataset.val, normalise)
    right = sum(int(row.argmax() == label) for row, label in zip(logits, dataset.val.labels, strict=True))
    assert (found.accuracy, found.num_images) == (right / 101, 101)
    assert found.loss == pytest.approx(functional.cross_entropy(logits, dataset.val.labels).item())
    assert found.accuracy_stderr == math.sqrt(found.accuracy * (1 - found.accuracy) / 101)


def test_the_standard_error_is_that_of_repeated_draws():
    draws = torch.rand((20_000, 400), generator=torch.Generator().manual_seed(0)) < 0.8
    assert draws.double().mean(1).std().item() == pytest.approx(accuracy_stderr(0.8, 400), rel=0.03)
    assert accuracy_stderr(1.0, 10) == accuracy_stderr(0.0, 10) == 0


def test_a_settled_copy_leaves_model_and_random_numbers_alone(dataset, model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    copied = settled_copy(model, dataset.train, normaliser(dataset))
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert not copied.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    changed = {name for name, value in copied.state_dict().items() if not torch.equal(before[name], value)}
    assert changed
    assert all("running" in name or "num_batches" in name for name in changed)


def test_a_settled_copy_is_trained_on_by_nobody(dataset, model):
    trainer = Trainer(model, Recipe(), torch.device("cpu"))
    copied = settled_copy(trainer.model, dataset.train, normaliser(dataset))
    before = [parameter.clone() for parameter in copied.parameters()]
    trainer.set_learning_rate(0.1)
    trainer.step(normaliser(dataset)(dataset.train.images[:8]), dataset.train.labels[:8])
    assert all(torch.equal(a, b) for a, b in zip(copied.parameters(), before, strict=True))
