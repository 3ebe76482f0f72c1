import copy

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from nas import ArchSpec, InvalidInputError, StageSpec
from nas.models import build_model, freeze, unfreeze
from nas.training.loop import Trainer, fit, normaliser, reestimate_batch_norm
from nas.training.recipe import Recipe
from tests.stripes import striped
from tests.training.conftest import dataset  # noqa: F401

SPEC = ArchSpec(
    8,
    (
        StageSpec("fused", 1, 3, 1, 8, 2),
        StageSpec("fused", 4, 3, 2, 16, 2),
        StageSpec("mbconv", 4, 3, 2, 16, 2, se_ratio=0.25),
    ),
    32,
    stem_stride=1,
    stochastic_depth=0.5,
)
HELD = {0: "0", 1: "01", 2: "012", 3: "0123", "all": "01234"}


def part(name):
    """The index in `features`, and nothing for the classifier."""
    kind, index, *_ = name.split(".")
    return index if kind == "features" else None


@pytest.mark.parametrize("stages", HELD)
def test_in_training_what_is_frozen_stays_and_all_else_moves(stages, dataset):  # noqa: F811
    torch.manual_seed(0)
    model = build_model(SPEC, 2, in_channels=1)
    freeze(model, stages)
    before = copy.deepcopy(model.state_dict())
    trainer = Trainer(model, Recipe(learning_rate=0.01, batch_size=64), torch.device("cpu"))
    fit(trainer, dataset.train, 2, normaliser(dataset), seed=0)
    reestimate_batch_norm(model, dataset.train, normaliser(dataset))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == (part(name) is not None and part(name) in HELD[stages]), name


def test_train_leaves_frozen_parts_in_evaluation_mode():
    model = build_model(SPEC, 2)
    freeze(model, 1)
    for mode in (True, False, True):
        model.train(mode)
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm2d | StochasticDepth | nn.Dropout):
                assert module.training == (mode and part(name) not in ("0", "1")), name


def test_frozen_parts_compute_one_function_in_training():
    model = build_model(SPEC, 2, in_channels=1).eval()
    images = striped(8, 0).images.float()
    freeze(model, "all")
    expected = model.features(images)
    assert torch.equal(model.train().features(images), expected)


def test_freezing_adds_up_and_unfreezing_ends_it():
    model = build_model(SPEC, 2)
    freeze(model, 2)
    freeze(model, 0)
    assert not any(p.requires_grad for p in model.features[:3].parameters())
    unfreeze(model)
    assert all(p.requires_grad for p in model.parameters())
    assert all(module.training for module in model.modules())
    freeze(model.eval(), 2)
    unfreeze(model)
    assert not any(module.training for module in model.modules())


def test_a_copy_of_a_frozen_network_is_frozen():
    model = build_model(SPEC, 2)
    freeze(model, 1)
    assert not copy.deepcopy(model).train().features[1][0].block[0][1].training


@pytest.mark.parametrize("stages", [-1, 4, True, 1.0, "none", None])
def test_stages_are_checked(stages):
    with pytest.raises(InvalidInputError, match='`stages` must be "all" or an integer from 0 to 3'):
        freeze(build_model(SPEC, 2), stages)
