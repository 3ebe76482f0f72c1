"""What holds of every exporter that writes code: what it builds is our network."""

import ast
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas import InvalidInputError
from nas.models import BuildOptions, build_model
from nas.models.export import EXPORTERS
from nas.models.options import DEFAULT_OPTIONS
from nas.models.weights import named_weights
from tests.models.export.networks import COMMON, ODD, OPTIONS, SPECS, network_of, run, warmed
from tests.strategies import arch_specs

PEERS = ["torchvision", "timm", "python"]
PADDINGS = ["symmetric", "same"]
MODULES = {"torchvision": "torchvision", "timm": "timm", "python": "torch"}


def render(to, network):
    pytest.importorskip(MODULES[to])
    return EXPORTERS[to].render(network)


def loaded(to, theirs, ours):
    """Copy our weights, under the names that the target has for them."""
    theirs.load_state_dict(named_weights(ours, EXPORTERS[to].layout))
    return theirs


def undropped(model):
    """Switch off what is random in training, whatever each library calls it."""
    for module in model.modules():
        for name in ("p", "drop", "drop_prob", "drop_rate"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def drop_probabilities(model):
    """Return the stochastic depth of each block, in order, wherever it is above 0."""
    kinds = {"StochasticDepth": "p", "DropPath": "drop_prob", "Block": "drop"}
    found = [getattr(m, kinds[type(m).__name__]) for m in model.modules() if type(m).__name__ in kinds]
    return [probability for probability in found if probability > 0]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("to", PEERS)
def test_the_peers_network_gives_our_logits(to, spec):
    network = network_of(SPECS[spec])
    code = render(to, network)
    ours = warmed(network)
    theirs = loaded(to, run(code).create(), ours).eval()
    for size in (network.image_size, 33):
        images = torch.randn(3, 3, size, size)
        with torch.no_grad():
            assert torch.equal(theirs(images), ours(images))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("to", PEERS)
def test_the_peers_network_is_built_with_our_options(to, options):
    network = network_of(COMMON, options=OPTIONS[options])
    if (to, options) == ("torchvision", "same"):
        with pytest.raises(InvalidInputError, match="`padding` must be \"symmetric\" for torchvision, got 'same'"):
            render(to, network)
        return
    ours = warmed(network)
    theirs = loaded(to, run(render(to, network)).create(), ours).eval()
    images = torch.randn(3, 3, 40, 40)
    with torch.no_grad():
        assert torch.equal(theirs(images), ours(images))
        assert not torch.allclose(warmed(network_of(COMMON))(images), ours(images), rtol=1e-4)
        for size in ((40, 33), (33, 40), (33, 33), (22, 26)):  # timm also pads odd sides by hand.
            images = torch.randn(3, 3, *size)
            torch.testing.assert_close(theirs(images), ours(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [DEFAULT_OPTIONS, OPTIONS["norm"]], ids=["default", "norm"])
@pytest.mark.parametrize("to", PEERS)
def test_the_peers_network_trains_as_ours(to, options):
    network = network_of(COMMON, options=options)
    ours = warmed(network)
    theirs = loaded(to, run(render(to, network)).create(), ours)
    assert drop_probabilities(theirs) == pytest.approx(drop_probabilities(ours))
    assert len(drop_probabilities(ours)) == COMMON.num_blocks - 1
    images, labels = torch.randn(8, 3, 40, 40), torch.arange(8) % 7
    losses, statistics = [], []
    for model in (undropped(ours).train(), undropped(theirs).train()):
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        losses.append(loss)
        statistics.append(list(model.buffers()))
    assert torch.equal(*losses)
    assert all(torch.equal(*pair) for pair in zip(*statistics, strict=True))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("to", PEERS)
def test_dropout_is_ours(to):
    model = run(render(to, network_of(COMMON))).create()
    assert (model.drop_rate if to == "timm" else model.classifier[0].p) == 0.3


def test_padding_has_a_class_only_where_it_is_needed():
    codes = {padding: render("python", network_of(ODD, options=BuildOptions(padding))) for padding in PADDINGS}
    assert ["SameConv2d" in code for code in codes.values()] == [False, True]


@pytest.mark.parametrize("to", PEERS)
def test_classes_and_channels_have_defaults_and_can_be_given(to):
    module = run(render(to, network_of(COMMON, num_classes=4, in_channels=1)))
    assert module.create()(torch.randn(2, 1, 32, 32)).shape == (2, 4)
    assert module.create(9, 2)(torch.randn(2, 2, 32, 32)).shape == (2, 9)


@pytest.mark.parametrize("to", PEERS)
def test_generated_code_imports_its_target_alone(to):
    tree = ast.parse(EXPORTERS[to].render(network_of(COMMON)))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported <= {"torch", "functools", "math", MODULES[to]}


def shapes(model):
    return [tuple(tensor.shape) for tensor in model.state_dict().values()]


def eightfold(spec):
    """Turn a network into one that every peer can say."""
    stages = tuple(
        replace(s, out_channels=8 * s.out_channels, se_ratio=0.25 if s.block == "mbconv" else 0.0) for s in spec.stages
    )
    return replace(spec, stem_channels=8 * spec.stem_channels, stages=stages)


@settings(max_examples=15, deadline=None)
@given(arch_specs(max_stages=3, max_channels=6, max_layers=2).map(eightfold))
def test_every_peer_builds_a_network_of_channels_that_are_multiples_of_8(spec):
    network = network_of(spec)
    with torch.device("meta"):
        ours = shapes(network.build())
        for to in PEERS:
            assert shapes(run(render(to, network)).create()) == ours


@settings(max_examples=25, deadline=None)
@given(arch_specs(max_stages=3, max_layers=2))
def test_a_peer_builds_the_same_network_or_none(spec):
    network = network_of(spec)
    with torch.device("meta"):
        ours = shapes(network.build())
        for to in PEERS:
            try:
                code = render(to, network)
            except InvalidInputError:
                assert to != "python"
            else:
                assert shapes(run(code).create()) == ours


@settings(max_examples=15, deadline=None)
@given(arch_specs(max_stages=3, max_layers=2))
def test_our_own_file_names_parameters_as_the_builder(spec):
    with torch.device("meta"):
        ours = build_model(spec, 7).state_dict()
        theirs = run(EXPORTERS["python"].render(network_of(spec))).create().state_dict()
    assert {name: tensor.shape for name, tensor in theirs.items()} == {n: t.shape for n, t in ours.items()}


@pytest.mark.parametrize("padding", PADDINGS)
def test_our_own_file_says_what_no_peer_can(padding):
    network = network_of(ODD, options=BuildOptions(padding))
    ours = warmed(network)
    theirs = loaded("python", run(render("python", network)).create(), ours).eval()
    images = torch.randn(3, 3, 24, 24)
    with torch.no_grad():
        assert torch.equal(theirs(images), ours(images))


@pytest.mark.parametrize("init", ["google", "torchvision"])
def test_our_own_file_initialises_as_the_builder(init):
    network = network_of(COMMON, options=BuildOptions(init=init))
    module = run(render("python", network))
    torch.manual_seed(5)
    ours = network.build().state_dict()
    torch.manual_seed(5)
    theirs = module.create().state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())


NASTY = ['"""', "'''\nimport os\n", "\\", 'a"; raise SystemExit #', "{name}", "%(NAME)s", "\x00\r\u2028", "\ud800", "é"]


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize("to", ["torchvision", "timm", "python", "automl"])
def test_a_name_stays_a_name(to, name):
    code = EXPORTERS[to].render(network_of(replace(COMMON, name=name)))
    code.encode()
    found = run(code).NAME
    assert found == name


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_no_name_breaks_a_file(name):
    network = network_of(replace(COMMON, name=name))
    for to in ("torchvision", "timm", "python", "automl"):
        compile(EXPORTERS[to].render(network), "generated.py", "exec")
    lines = EXPORTERS["markdown"].render(network).splitlines()
    assert lines[1:] == EXPORTERS["markdown"].render(network_of(COMMON)).splitlines()[1:]
