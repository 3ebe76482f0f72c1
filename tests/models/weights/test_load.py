import pickle
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision import models

from nas.errors import InvalidInputError
from nas.models import build_model, get_arch, get_options
from nas.models.weights import adapt_input_channels, load_weights, named_weights
from tests.models.weights.peers import TINY, logits, randomise, same, snapshot

STEM = "features.0.0.weight"
CLASSIFIER = ("classifier.1.weight", "classifier.1.bias")


def trained(num_classes=5, in_channels=3, spec=TINY):
    torch.manual_seed(1)
    model = build_model(spec, num_classes, in_channels)
    randomise(model)
    return model


def fresh(num_classes=5, in_channels=3):
    torch.manual_seed(2)
    return build_model(TINY, num_classes, in_channels)


@pytest.mark.parametrize("size", ["s", *(pytest.param(size, marks=pytest.mark.slow) for size in "ml")])
def test_torchvisions_weights_give_torchvisions_logits(size):
    theirs = getattr(models, f"efficientnet_v2_{size}")()
    randomise(theirs)
    ours = build_model(get_arch(f"efficientnet_v2_{size}"))
    report = load_weights(ours, theirs.state_dict())
    assert (report.layout, len(report.loaded)) == ("torchvision", len(theirs.state_dict()))
    assert logits(ours, size=65).equal(logits(theirs, size=65))


def test_timms_weights_give_timms_logits():
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("efficientnetv2_s", bn_eps=1e-3)
    randomise(theirs)
    ours = build_model(get_arch("efficientnet_v2_s"))
    report = load_weights(ours, theirs.state_dict())
    assert (report.layout, len(report.loaded)) == ("timm", 782)
    assert logits(ours, size=65).equal(logits(theirs, size=65))


@pytest.mark.parametrize(
    "size", ["b0", *(pytest.param(size, marks=pytest.mark.slow) for size in ("b1", "b2", "b3", "xl"))]
)
def test_weights_ported_from_tensorflow_give_timms_logits_at_even_sizes(size):
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(f"tf_efficientnetv2_{size}")
    randomise(theirs)
    ours = build_model(get_arch(f"efficientnet_v2_{size}"), options=get_options("timm_tf"))
    assert load_weights(ours, theirs.state_dict()).layout == "timm"
    assert logits(ours, size=64).equal(logits(theirs, size=64))


def safetensors_file(state, path):
    save_file(state, path)


def torch_file(state, path):
    torch.save(state, path)


def legacy_torch_file(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("layout", ["torchvision", "timm"])
@pytest.mark.parametrize("write", [safetensors_file, torch_file, legacy_torch_file])
def test_files_are_read_by_their_content(tmp_path, write, layout):
    source, model = trained(), fresh()
    write(named_weights(source, layout), tmp_path / "weights.bin")
    report = load_weights(model, tmp_path / "weights.bin")
    assert same(snapshot(model), snapshot(source))
    assert report.layout == layout
    assert str(report) == f"loaded {len(report.loaded)} tensors in the layout of {layout}"


@pytest.mark.parametrize("entry", ["state_dict", "model", "state_dict_ema", "model_ema"])
def test_checkpoints_are_opened(tmp_path, entry):
    source, model = trained(), fresh()
    torch.save({entry: source.state_dict(), "epoch": 3, "arch": "tiny", "optimizer": {"lr": 0.1}}, tmp_path / "c.pt")
    assert load_weights(model, str(tmp_path / "c.pt")).entry == entry
    assert same(snapshot(model), snapshot(source))


def test_averaged_weights_come_first():
    source, model = trained(), fresh()
    report = load_weights(model, {"state_dict": fresh().state_dict(), "state_dict_ema": source.state_dict()})
    assert same(snapshot(model), snapshot(source))
    assert "from 'state_dict_ema'" in str(report)


@pytest.mark.parametrize(
    "wrap", [AveragedModel, nn.DataParallel, torch.compile, lambda model: nn.DataParallel(torch.compile(model))]
)
def test_names_of_wrapped_networks_are_understood(wrap):
    source, model = trained(), fresh()
    load_weights(model, wrap(source).state_dict())
    assert same(snapshot(model), snapshot(source))


def test_batch_counts_may_be_missing():
    source, model = trained(), fresh()
    state = {name: t for name, t in source.state_dict().items() if not name.endswith("num_batches_tracked")}
    report = load_weights(model, state)
    assert report.left == tuple(name for name in model.state_dict() if name not in state)
    assert logits(model).equal(logits(source))


def test_half_precision_is_converted():
    source, model = trained(), fresh()
    load_weights(model, {name: t.half() if t.is_floating_point() else t for name, t in source.state_dict().items()})
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert torch.allclose(model.classifier[1].weight, source.classifier[1].weight, atol=1e-3)


@pytest.mark.parametrize("layout", ["torchvision", "timm"])
def test_stem_and_classifier_are_adapted_on_request(layout):
    source, model = trained(), fresh(num_classes=7, in_channels=4)
    kept = snapshot(model)
    report = load_weights(model, named_weights(source, layout), adapt=True)
    state = model.state_dict()
    assert report.adapted == (STEM,)
    assert report.left == CLASSIFIER
    assert len(report.loaded) == len(state) - 3
    assert all(torch.equal(state[name], kept[name]) for name in CLASSIFIER)
    assert torch.equal(state[STEM], adapt_input_channels(source.state_dict()[STEM], 4))
    assert all(torch.equal(state[name], source.state_dict()[name]) for name in report.loaded)


def test_what_fits_is_not_adapted():
    source, model = trained(), fresh()
    report = load_weights(model, source.state_dict(), adapt=["classifier", "stem"])
    assert (report.adapted, report.left) == ((), ())
    assert same(snapshot(model), snapshot(source))


def test_a_source_without_classifier_leaves_the_networks():
    source, model = trained(), fresh()
    state = {name: tensor for name, tensor in source.state_dict().items() if name not in CLASSIFIER}
    assert load_weights(model, state, adapt=("classifier",)).left == CLASSIFIER
    with pytest.raises(InvalidInputError, match=r"2 missing \(classifier.1.weight, .*adapt=\['classifier'\]"):
        load_weights(fresh(), state)


def test_a_classifier_with_half_of_its_tensors_is_refused():
    state = trained().state_dict()
    del state["classifier.1.bias"]
    with pytest.raises(InvalidInputError, match="1 missing"):
        load_weights(fresh(), state, adapt=True)


def test_a_grey_image_gets_the_answer_it_had_as_rgb():
    source, model = trained(), fresh(in_channels=1)
    load_weights(model, source.state_dict(), adapt=("stem",))
    grey = torch.randn(2, 1, 33, 33)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(grey), source.eval()(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


@given(st.integers(1, 5), st.integers(1, 12))
def test_adapted_channels_keep_the_scale(old, new):
    weight = torch.randn(2, old, 3, 3)
    adapted = adapt_input_channels(weight, new)
    assert adapted.shape == (2, new, 3, 3)
    if new % old == 0 or new == 1:
        torch.testing.assert_close(adapted.sum(1), weight.sum(1), rtol=1e-4, atol=1e-5)
    if new == old:
        assert torch.equal(adapted, weight)


@pytest.mark.parametrize("in_channels", [1, 2, 4, 6])
def test_channels_are_adapted_as_timm_does(in_channels):
    manipulate = pytest.importorskip("timm.models._manipulate")
    weight = torch.randn(8, 3, 3, 3)
    theirs = manipulate.adapt_input_conv(in_channels, weight)
    torch.testing.assert_close(adapt_input_channels(weight, in_channels), theirs)


def refused(model, source, match, **options):
    """Assert that loading ends in one error of one line, and that the network stays as it was."""
    before = snapshot(model)
    with pytest.raises(InvalidInputError, match=match) as caught:
        load_weights(model, source, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert same(snapshot(model), before)
    return str(caught.value)


def test_all_that_does_not_fit_is_listed():
    state = trained().state_dict()
    state["extra"] = torch.zeros(2)
    state[STEM] = torch.zeros(8, 4, 3, 3)
    state["features.1.0.block.0.1.bias"] = torch.zeros(8, dtype=torch.int64)
    del state["features.2.0.block.1.1.bias"]
    message = refused(fresh(), state, "`weights` must be those of the network")
    assert "1 missing (features.2.0.block.1.1.bias)" in message
    assert "1 unexpected (extra)" in message
    assert "2 of another shape (features.0.0.weight: theirs 8x4x3x3, ours 8x3x3x3" in message
    assert "theirs 8 torch.int64, ours 8" in message
    assert message.endswith("Build the network that they were trained in.")


def test_names_in_errors_are_the_sources():
    message = refused(fresh(), named_weights(trained(7), "timm"), "2 of another shape")
    assert "classifier.weight: theirs 7x32, ours 5x32" in message
    assert message.endswith("or pass adapt=['classifier'].")


def test_a_refused_adaptation_is_not_advised_again():
    message = refused(fresh(7, 1), trained(5).state_dict(), "3 of another shape")
    assert message.endswith("or pass adapt=['stem', 'classifier'].")
    assert refused(fresh(7, 1), trained(5).state_dict(), "2 of another shape", adapt=("stem",)).endswith(
        "or pass adapt=['classifier']."
    )


def test_another_architecture_is_refused_also_with_adaptation():
    state = named_weights(trained(7, 1, get_arch("efficientnet_v2_b0")), "timm")
    message = refused(fresh(), state, "unexpected .* and [0-9]+ more", adapt=True)
    assert "blocks." in message


def test_hostile_names_stay_on_one_short_line():
    refused(fresh(), {"line\nline\x1b[31m" * 1000: torch.zeros(1)}, "missing")


class Code:
    """Pickles to a call that writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, zipped):
    state = {**trained().state_dict(), "note": Code(tmp_path / "was_run")}
    torch.save(state, tmp_path / "weights.pt", _use_new_zipfile_serialization=zipped)
    refused(fresh(), tmp_path / "weights.pt", "can run code")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(state["note"]))
    refused(fresh(), tmp_path / "plain.pkl", "can run code")
    assert not (tmp_path / "was_run").exists()
    torch.load(tmp_path / "weights.pt", weights_only=False)
    assert (tmp_path / "was_run").exists()


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch.save(trained(), tmp_path / "model.pt")
    refused(fresh(), tmp_path / "model.pt", "save its state dict as safetensors")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [safetensors_file, torch_file, legacy_torch_file])
def test_damaged_files_are_refused_wherever_they_end_or_change(tmp_path, write):
    path = tmp_path / "weights.bin"
    write({"features.0.0.weight": torch.zeros(8, 3, 3, 3), "other": torch.zeros(2)}, path)
    whole, model, choose = path.read_bytes(), fresh(), random.Random(0)
    ends = {0, 1, 7, 8, 9, len(whole) - 1, *(choose.randrange(len(whole)) for _ in range(60))}
    damaged = [whole[:end] for end in ends]
    for _ in range(100):
        changed = bytearray(whole)
        changed[choose.randrange(min(len(changed), 400))] = choose.randrange(256)
        damaged.append(bytes(changed))
    for content in damaged:
        path.write_bytes(content)
        refused(model, path, "^`weights` must be ")


def test_paths_without_a_file_are_refused(tmp_path):
    refused(fresh(), tmp_path / "none.safetensors", "`weights` must be a readable file.*No such file")
    refused(fresh(), tmp_path, "`weights` must be a file.*folder")


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ({}, "got 'an empty one'"),
        ({"state_dict": {}}, "got 'an empty one'"),
        ({"weight": "text"}, "got \"str under 'weight'\""),
        ({3: torch.zeros(1)}, "got 'Tensor under 3'"),
        (None, "a state dict or the path of a file, got None"),
        (7, "a state dict or the path of a file, got 7"),
    ],
)
def test_what_is_no_state_dict_is_refused(source, match):
    refused(fresh(), source, match)


def test_a_file_without_a_state_dict_is_refused(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    refused(fresh(), tmp_path / "tensor.pt", "a file with a state dict, got 'a Tensor'")


def test_options_are_checked():
    state = trained().state_dict()
    refused(fresh(), state, "`layout` must be known, got 'tim'. Did you mean 'timm'", layout="tim")
    refused(fresh(), state, "`adapt` must be a bool or a list", adapt=("head",))
    refused(fresh(), state, "`adapt` must be a bool or a list", adapt="stem")
    refused(fresh(), state, "missing .*conv_stem.weight", layout="timm")
