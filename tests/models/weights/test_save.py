import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torchvision import models

from nas.errors import InvalidInputError
from nas.models import build_model, get_arch
from nas.models.weights import export_weights, load_weights, named_weights
from tests.models.weights.peers import TINY, logits, randomise, same, snapshot
from tests.strategies import arch_specs


@pytest.mark.parametrize("size", ["s", *(pytest.param(size, marks=pytest.mark.slow) for size in "ml")])
def test_a_saved_network_loads_in_both_peers_with_equal_logits(tmp_path, size):
    timm = pytest.importorskip("timm")
    ours = build_model(get_arch(f"efficientnet_v2_{size}"))
    randomise(ours)
    expected = logits(ours, size=64)
    peers = {
        "torchvision": getattr(models, f"efficientnet_v2_{size}")(),
        "timm": timm.create_model(f"efficientnetv2_{size}", bn_eps=1e-3),
    }
    for layout, peer in peers.items():
        export_weights(ours, tmp_path / "weights.safetensors", layout)
        peer.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
        assert logits(peer, size=64).equal(expected)


@settings(max_examples=25, deadline=None)
@given(arch_specs(max_channels=12, max_layers=2), st.sampled_from(["torchvision", "timm"]), st.integers(1, 4))
def test_what_is_saved_is_what_is_loaded(tmp_path_factory, spec, layout, in_channels):
    source, model = (build_model(spec, 3, in_channels) for _ in range(2))
    randomise(source)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    export_weights(source, path, layout)
    report = load_weights(model, path)
    assert same(snapshot(model), snapshot(source))
    assert report.layout == layout
    assert (report.adapted, report.left) == ((), ())


def test_channels_last_and_half_precision_are_saved_as_they_are(tmp_path):
    model = build_model(TINY, 5).half().to(memory_format=torch.channels_last)
    export_weights(model, tmp_path / "weights.safetensors")
    assert same(load_file(tmp_path / "weights.safetensors"), snapshot(model))


def test_an_existing_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_text("old")
    model = build_model(TINY, 5)
    export_weights(model, str(path), "timm")
    assert same(load_file(path), named_weights(model, "timm"))
    assert list(tmp_path.iterdir()) == [path]


def test_bad_requests_are_refused(tmp_path):
    model = build_model(TINY, 5)
    with pytest.raises(InvalidInputError, match="`layout` must be known, got 'keras'"):
        export_weights(model, tmp_path / "w.safetensors", "keras")
    with pytest.raises(InvalidInputError, match=r"`weights file` must be writable.*No such file"):
        export_weights(model, tmp_path / "none" / "w.safetensors")
    with pytest.raises(InvalidInputError, match=r"`weights file` must be a file.*folder"):
        export_weights(model, tmp_path)
    assert not list(tmp_path.iterdir())
