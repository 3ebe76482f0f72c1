import copy
import math

import pytest
import torch

from nas import InvalidInputError
from nas.training.rmsprop import RMSpropTF

SHAPES = [(3, 4, 1, 1), (5,), ()]
SETTINGS = {"alpha": 0.9, "momentum": 0.9, "eps": 1e-3, "weight_decay": 0.01}


def rates(num_steps):
    """A warm-up, and falls that a buffer which holds no learning rate would take differently."""
    return [0.01 * min(1, (step + 1) / 10) * 0.8 ** (step // 15) for step in range(num_steps)]


def gradients(num_steps):
    generator = torch.Generator().manual_seed(0)
    return [[torch.randn(shape, generator=generator) for shape in SHAPES] for _ in range(num_steps)]


def weights(dtype):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in SHAPES]


def by_the_formula(weight, grads, learning_rates, *, alpha, momentum, eps, weight_decay):
    """Return one number after all steps, in Python's floats: 64 bits."""
    mean_square, buffer = 1.0, 0.0
    for grad, learning_rate in zip(grads, learning_rates, strict=True):
        gradient = grad + weight_decay * weight
        mean_square = alpha * mean_square + (1 - alpha) * gradient * gradient
        buffer = momentum * buffer + learning_rate * gradient / math.sqrt(mean_square + eps)
        weight -= buffer
    return weight


def expected(start, grads, learning_rates, settings):
    return [
        torch.tensor(
            [
                by_the_formula(number, [step[index].flatten()[place].item() for step in grads], learning_rates, **each)
                for place, number in enumerate(weight.flatten().tolist())
            ],
            dtype=torch.float64,
        ).reshape(weight.shape)
        for index, (weight, each) in enumerate(zip(start, settings, strict=True))
    ]


def run(optimizer, parameters, grads, learning_rates):
    for step, learning_rate in zip(grads, learning_rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        for parameter, grad in zip(parameters, step, strict=True):
            parameter.grad = grad.to(parameter.dtype)
        optimizer.step()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-5)])
@pytest.mark.parametrize(
    "changes", [{}, {"momentum": 0.0}, {"weight_decay": 0.0}, {"alpha": 0.5, "eps": 1e-6}], ids=lambda each: str(each)
)
def test_a_hundred_steps_are_those_of_the_formula(dtype, tolerance, changes):
    settings, grads = SETTINGS | changes, gradients(100)
    parameters = weights(dtype)
    wanted = expected(weights(torch.float64), grads, rates(100), [settings] * len(SHAPES))
    run(RMSpropTF(parameters, 1.0, **settings), parameters, grads, rates(100))
    for found, want in zip(parameters, wanted, strict=True):
        assert torch.allclose(found.double(), want, rtol=0, atol=tolerance)


def test_groups_have_settings_of_their_own():
    parameters, grads = weights(torch.float64), gradients(20)
    changes = [{"weight_decay": 0.3}, {"momentum": 0.5}, {"alpha": 0.2, "eps": 1.0}]
    groups = [{"params": [each], **change} for each, change in zip(parameters, changes, strict=True)]
    run(RMSpropTF(groups, 1.0, **SETTINGS), parameters, grads, rates(20))
    wanted = expected(weights(torch.float64), grads, rates(20), [SETTINGS | change for change in changes])
    for found, want in zip(parameters, wanted, strict=True):
        assert torch.allclose(found, want, rtol=0, atol=1e-13)


def test_goes_on_from_its_state_to_the_last_bit():
    grads = gradients(20)
    whole, first = weights(torch.float32), weights(torch.float32)
    run(RMSpropTF(whole, 1.0), whole, grads, rates(20))
    optimizer = RMSpropTF(first, 1.0)
    run(optimizer, first, grads[:7], rates(20)[:7])
    kept = copy.deepcopy(optimizer.state_dict())
    second = [each.detach().clone().requires_grad_() for each in first]
    optimizer = RMSpropTF(second, 1.0)
    optimizer.load_state_dict(kept)
    run(optimizer, second, grads[7:], rates(20)[7:])
    assert all(torch.equal(one, other) for one, other in zip(second, whole, strict=True))


def test_weights_without_a_gradient_stay():
    held, moved = weights(torch.float32)[:2]
    before = held.detach().clone()
    optimizer = RMSpropTF([held, moved], 0.1, weight_decay=0.5)
    moved.grad = torch.ones_like(moved)
    optimizer.step()
    assert torch.equal(held, before)
    assert held not in optimizer.state


def test_a_closure_gives_gradients_and_loss():
    (weight,) = [torch.tensor(2.0, requires_grad=True)]
    optimizer = RMSpropTF([weight], 0.1, momentum=0.0)

    def loss():
        optimizer.zero_grad()
        value = weight.square()
        value.backward()
        return value.item()

    assert optimizer.step(loss) == 4.0
    assert weight.item() == pytest.approx(2 - 0.1 * 4 / math.sqrt(0.9 + 0.1 * 16 + 1e-3))


@pytest.mark.parametrize("bad", ["lr=-1", "lr=nan", "alpha=1", "momentum=-0.1", "eps=0", "weight_decay=-1"])
def test_numbers_out_of_range_are_refused(bad):
    name, _, value = bad.partition("=")
    with pytest.raises(InvalidInputError, match=f"`{name}` must be"):
        RMSpropTF(weights(torch.float32), **{"lr": 0.1, name: float(value)})
