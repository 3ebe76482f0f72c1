import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from nas import ArchSpec, StageSpec
from nas.models import FeatureExtractor, build_model, freeze
from nas.training.loop import autocast
from tests.strategies import arch_specs, build_options

SPEC = ArchSpec(
    8,
    (
        StageSpec("fused", 1, 3, 1, 8, 2),
        StageSpec("fused", 4, 3, 2, 16, 2),
        StageSpec("mbconv", 4, 3, 2, 16, 3, se_ratio=0.25),
    ),
    32,
    dropout=0.3,
    stochastic_depth=0.5,
)


def pair(model):
    """The same network without and with checkpointing."""
    other = copy.deepcopy(model)
    other.set_gradient_checkpointing(True)
    return model, other


def steps(model, images, num=2):
    """Losses of a few steps of gradient descent, from one random state on."""
    torch.manual_seed(7)
    losses = []
    for _ in range(num):
        loss = model(images).float().logsumexp(1).sum()
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad
    return losses


def assert_equal(plain, checkpointed):
    for (name, mine), other in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        assert (mine.grad is None) == (other.grad is None), name
        assert mine.grad is None or torch.equal(mine.grad, other.grad), name
    for (name, mine), other in zip(plain.state_dict().items(), checkpointed.state_dict().values(), strict=True):
        assert torch.equal(mine, other), name


@settings(max_examples=10, deadline=None)
@given(arch_specs(max_channels=8, max_layers=2), build_options())
def test_loss_gradients_and_statistics_are_the_same(spec, options):
    plain, checkpointed = pair(build_model(spec, 3, in_channels=2, options=options))
    images = torch.randn(4, 2, 12, 12)
    assert steps(plain, images) == steps(checkpointed, images)
    assert_equal(plain, checkpointed)


@pytest.mark.parametrize("change", ["none", "evaluation", "frozen", "cumulative statistics"])
def test_it_is_the_same_in_every_state_of_a_network(change):
    model = build_model(SPEC, 5)
    if change == "evaluation":
        model.eval()
    if change == "frozen":
        freeze(model, 2)
    if change == "cumulative statistics":
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = None
    plain, checkpointed = pair(model)
    images = torch.randn(4, 3, 33, 33)
    assert steps(plain, images) == steps(checkpointed, images)
    assert_equal(plain, checkpointed)


def test_it_is_the_same_in_mixed_precision():
    plain, checkpointed = pair(build_model(SPEC, 5))
    images = torch.randn(4, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        assert steps(plain, images) == steps(checkpointed, images)
    assert_equal(plain, checkpointed)


def saved_bytes(model, images):
    """What autograd keeps from the forward pass until the backward pass."""
    kept = {}

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = model(images)
    return sum(kept.values()), out


def test_less_is_kept_for_the_gradient_and_it_can_be_switched_off():
    model = build_model(SPEC, 5)
    images = torch.randn(4, 3, 64, 64)
    plain, _ = saved_bytes(model, images)
    model.set_gradient_checkpointing(True)
    assert saved_bytes(model, images)[0] < 0.5 * plain
    model.set_gradient_checkpointing(False)
    assert saved_bytes(model, images)[0] == plain


def test_a_feature_extractor_checkpoints_with_its_network():
    plain, checkpointed = pair(build_model(SPEC, 5))
    images = torch.randn(2, 3, 32, 32)
    for model in (plain, checkpointed):
        torch.manual_seed(7)
        sum(found.square().sum() for found in FeatureExtractor(model)(images)).backward()
    assert_equal(plain, checkpointed)


def test_it_is_the_same_compiled():
    """Up to how the compiler groups operations; without random numbers, which it draws in another order."""
    model = build_model(replace(SPEC, dropout=0.0, stochastic_depth=0.0), 5)
    plain, checkpointed = pair(model)
    images = torch.randn(4, 3, 16, 16)
    loss = steps(plain, images, num=1)
    compiled = torch.compile(checkpointed, backend="aot_eager", fullgraph=True)
    assert steps(compiled, images, num=1) == pytest.approx(loss)
    for (name, mine), other in zip(plain.state_dict().items(), checkpointed.state_dict().values(), strict=True):
        assert torch.allclose(mine, other, atol=1e-5), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_statistics_move_once_and_less_memory_is_used():
    device = torch.device("cuda")
    peaks, counts = [], []
    for model in pair(build_model(SPEC, 5).to(device)):
        images = torch.randn(16, 3, 256, 256, device=device)
        torch.cuda.reset_peak_memory_stats()
        with autocast(device):
            steps(model, images, num=1)
        peaks.append(torch.cuda.max_memory_allocated())
        counts.append({int(m.num_batches_tracked) for m in model.modules() if isinstance(m, nn.BatchNorm2d)})
    assert counts == [{1}, {1}]
    assert peaks[1] < peaks[0]
