"""Networks by name, from files and from other libraries."""

import pytest
import torch

from nas import ArchSpec
from nas.errors import InvalidInputError
from nas.evaluation.networks import find_network
from nas.models import get_arch
from tests.stripes import space


@pytest.mark.parametrize("name", ["torchvision:mobilenet_v3_small", "timm:efficientnetv2_rw_t", "efficientnet_v2_b0"])
def test_a_network_is_built_for_the_classes_asked_for(name):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    network = find_network(name)
    with torch.device("meta"):
        model = network.build(7, 3).eval()
        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
    assert network.label == name


def test_a_file_is_the_same_network_as_its_spec(tmp_path):
    space.reference.save(tmp_path / "S.json")
    found = find_network(str(tmp_path / "S.json"))
    assert found.identity == space.reference.arch_id == ArchSpec.load(tmp_path / "S.json").arch_id
    assert found.image_size == space.reference.train_image_size


def test_timm_says_at_which_size_it_trains():
    pytest.importorskip("timm")
    assert find_network("timm:efficientnetv2_rw_t").image_size == 224
    assert find_network("timm:tf_efficientnetv2_s").image_size == 300


def test_networks_of_different_libraries_differ_for_the_cache():
    names = ("torchvision:efficientnet_v2_s", "torchvision:resnet18", "efficientnet_v2_s")
    assert len({find_network(name).identity for name in names}) == len(names)
    assert find_network("efficientnet_v2_s").identity == get_arch("efficientnet_v2_s").arch_id


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("torchvision:resnet81", "resnet18"),
        ("timm:efficientnetv2_rw_z", "efficientnetv2_rw_"),
        ("efficientnet_v2_z", "efficientnet_v2_"),
        ("jax:resnet50", "JSON"),
        ("missing.json", "readable"),
        ("torchvision:", "one of its classifiers"),
    ],
)
def test_unknown_names_are_refused_with_a_hint(name, hint):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    with pytest.raises(InvalidInputError, match=hint):
        find_network(name)


def test_torchvision_builds_for_colour_images_alone():
    with pytest.raises(InvalidInputError, match="in_channels"):
        find_network("torchvision:resnet18").build(10, 1)
