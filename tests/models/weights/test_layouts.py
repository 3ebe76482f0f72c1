import pytest
import torch
from hypothesis import given, settings
from torchvision import models

from nas.models import ARCH_NAMES, build_model, get_arch
from nas.models.weights.layouts import tensor_names, timm_names, torchvision_names
from nas.models.weights.save import named_weights
from tests.models.weights.peers import logits, randomise, timm_network, timm_specs
from tests.strategies import arch_specs


@settings(max_examples=60, deadline=None)
@given(arch_specs(max_channels=12))
def test_every_tensor_is_named_once_in_every_layout(spec):
    keys = list(build_model(spec, num_classes=2).state_dict())
    for names in (timm_names(spec), torchvision_names(spec)):
        assert list(names) == keys
        assert len(set(names.values())) == len(keys)
    places = [(name.place, name.role) for name in tensor_names(spec)]
    assert len(set(places)) == len(keys)


@settings(max_examples=25, deadline=None)
@given(timm_specs())
def test_timm_builds_the_same_network_of_any_blocks(spec):
    """Fused blocks with squeeze-excitation and MBConv without expansion among them: names, shapes and logits."""
    pytest.importorskip("timm")
    ours = build_model(spec, num_classes=3)
    randomise(ours)
    theirs = timm_network(spec, num_classes=3)
    assert list(theirs.state_dict()) == list(timm_names(spec).values())
    theirs.load_state_dict(named_weights(ours, "timm"), strict=True)
    assert logits(ours).equal(logits(theirs))


@pytest.mark.parametrize("name", ARCH_NAMES)
def test_published_networks_have_timms_names_and_shapes(name):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        ours = build_model(get_arch(name)).state_dict()
        theirs = timm.create_model(f"tf_{name.replace('_v2', 'v2')}").state_dict()
    names = timm_names(get_arch(name))
    assert {names[key]: value.shape for key, value in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("size", ["s", "m", "l"])
def test_published_networks_have_torchvisions_names_and_shapes(size):

    with torch.device("meta"):
        theirs = getattr(models, f"efficientnet_v2_{size}")().state_dict()
        ours = build_model(get_arch(f"efficientnet_v2_{size}")).state_dict()
    assert list(torchvision_names(get_arch(f"efficientnet_v2_{size}"))) == list(theirs)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
