"""The scores against values that are worked out by other means, on small networks."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from nas.data import load_dataset
from nas.data.dataset import ImageSet
from nas.evaluation.measurement import SIGNAL_NAMES
from nas.evaluation.signals import SIGNALS
from nas.evaluation.signals.grad_norm import grad_norm
from nas.evaluation.signals.naswot import naswot
from nas.evaluation.signals.scorer import BATCH_SIZE, Scorer
from nas.evaluation.signals.synflow import synflow
from nas.models import build_model
from nas.spec import ArchSpec, StageSpec
from tests.stripes import write_stripes
from tests.synthetic import small_space

STAGES = (StageSpec("fused", 2, 3, 1, 8, 2), StageSpec("mbconv", 2, 3, 2, 16, 1, 0.25))
SPEC = ArchSpec(8, STAGES, 16, stem_stride=1, train_image_size=16)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(SPEC, 4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = write_stripes(tmp_path_factory.mktemp("data"), 150)
    return load_dataset(str(path), image_size=16, val_images=30, seed=0)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, 16, 16, generator=generator), torch.arange(8) % 4


def test_every_score_has_its_column():
    assert tuple(SIGNALS) == SIGNAL_NAMES


@pytest.mark.parametrize("name", SIGNALS)
def test_a_score_leaves_the_network_as_it_was_and_does_not_vary(name, model, batch):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = SIGNALS[name](model, *batch)
    random_state = torch.get_rng_state()
    assert SIGNALS[name](model, *batch) == first
    assert torch.equal(torch.get_rng_state(), random_state)
    assert math.isfinite(first)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", SIGNALS)
def test_a_score_does_not_depend_on_the_mode(name, model, batch):
    assert SIGNALS[name](model.train(), *batch) == SIGNALS[name](model.eval(), *batch)


def test_naswot_of_codes_that_are_known():
    """Four units, three images: on are 1100, 1010 and 1111; K counts where two codes agree."""
    layer = nn.Sequential(nn.Flatten(), nn.ReLU())
    images = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, 1, 1, 1]]).view(3, 1, 2, 2)
    kernel = torch.tensor([[4.0, 2, 2], [2, 4, 2], [2, 2, 4]])
    assert naswot(layer, images, torch.zeros(3)) == pytest.approx(float(torch.logdet(kernel)))


def test_naswot_adds_up_the_units_of_all_layers():
    once = nn.Sequential(nn.Flatten(), nn.SiLU())
    twice = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.ReLU())
    images = torch.tensor([[1.0, -1], [-1, 1], [1, 1]]).view(3, 1, 1, 2)
    labels = torch.zeros(3)
    # All units of the second layer are on where those of the first are, so that K doubles: 3 log 2 for three images.
    assert naswot(twice, images, labels) == pytest.approx(naswot(once, images, labels) + 3 * math.log(2))


def test_naswot_of_equal_images_is_minus_infinity(model, batch):
    images, labels = batch
    assert naswot(nn.Sequential(nn.Flatten(), nn.ReLU()), images[[0, 0]], labels[:2]) == -math.inf


def test_synflow_of_a_linear_chain_is_the_product_of_its_weights():
    """One path of weights a, b, c: R = |abc|, and each parameter's term is R, so that the sum is 3 |abc|."""
    chain = nn.Sequential(*(nn.Conv2d(1, 1, 1, bias=False) for _ in range(3)))
    for layer, weight in zip(chain, (2.0, -3.0, 0.5), strict=True):
        nn.init.constant_(layer.weight, weight)
    assert synflow(chain, torch.zeros(4, 1, 1, 1), torch.zeros(4)) == pytest.approx(math.log(3 * 3))


def test_synflow_sums_over_paths_and_passes_activations():
    net = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.SiLU(), nn.Conv2d(2, 1, 1, bias=False))
    first, second = torch.tensor([[1.0, -2], [3, -4]]), torch.tensor([[-5.0, 6]])
    net[0].weight.data, net[2].weight.data = first.view(2, 2, 1, 1), second.view(1, 2, 1, 1)
    paths = 5 * (1 + 2) + 6 * (3 + 4)
    assert synflow(net, torch.zeros(1, 2, 1, 1), torch.zeros(1)) == pytest.approx(math.log(2 * paths))


def test_synflow_of_no_path_is_minus_infinity():
    net = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.zeros_(net.weight)
    assert synflow(net, torch.zeros(1, 1, 1, 1), torch.zeros(1)) == -math.inf


def test_the_gradients_norm_is_autograds(batch):
    spec = ArchSpec(8, STAGES, 16, stem_stride=1, train_image_size=16, dropout=0.0, stochastic_depth=0.0)
    torch.manual_seed(1)
    model = build_model(spec, 4)
    found = grad_norm(model, *batch)
    functional.cross_entropy(model(batch[0]), batch[1]).backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert found == pytest.approx(float(gradient.norm()), rel=1e-5)


def test_a_scorer_scores_the_same_whatever_the_random_state(dataset):
    scorer = Scorer(dataset, SIGNAL_NAMES)
    torch.manual_seed(3)
    first = scorer(SPEC)
    torch.manual_seed(4)
    assert scorer(SPEC) == first == Scorer(dataset, SIGNAL_NAMES)(SPEC)
    assert set(first) == set(SIGNAL_NAMES)


def test_what_is_not_finite_is_missing(dataset):
    images = dataset.train.images[:1].expand(BATCH_SIZE, -1, -1, -1)
    same = replace(dataset, train=ImageSet(images, dataset.train.labels[:BATCH_SIZE]))
    assert Scorer(same, ["naswot"])(SPEC) == {"naswot": None}


def test_deeper_and_wider_networks_have_more_flow():
    """A check of the direction on networks of a real space: synflow grows with every layer that is added."""
    space = small_space()
    scores = []
    for num_layers in (1, 2, 3):
        torch.manual_seed(0)
        spec = space.decode({**space.references["reference"], "s2_num_layers": num_layers})
        scores.append(synflow(build_model(spec, 10), torch.zeros(1, 3, 16, 16), torch.zeros(1)))
    assert scores == sorted(scores)
