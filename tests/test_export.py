"""`python -m nas.export`, with weights that were trained for moments."""

import io
import json
import runpy
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from rich.console import Console

from nas import ArchSpec
from nas.config import ExportSettings, TrainSettings
from nas.export import export, main
from nas.models import BuildOptions, build_model, get_arch
from nas.models.export import EXPORTERS
from nas.models.options import DEFAULT_OPTIONS
from nas.models.weights import named_weights
from nas.train import train
from tests.running import everything_in, exit_code, refusal, start
from tests.stripes import CLASS_NAMES, SIZE, space, write_stripes


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder that nas.train wrote."""
    root = tmp_path_factory.mktemp("trained")
    spec = space.reference
    stages = tuple(replace(s, se_ratio=0.25 if s.block == "mbconv" else 0.0) for s in spec.stages)
    replace(spec, stages=stages).save(root / "S.json")
    data = str(write_stripes(root / "data", 90))
    settings = TrainSettings(
        arch=str(root / "S.json"), data=data, epochs=1, batch_size=20, val_images=30, out=root / "out"
    )
    return train(settings, Console(file=io.StringIO())).folder.path


def as_trained(folder, options=DEFAULT_OPTIONS):
    model = build_model(ArchSpec.load(folder / "arch.json"), num_classes=3, in_channels=1, options=options)
    safetensors.torch.load_model(model, folder / "weights.safetensors")
    return model.eval()


def with_weights(folder, to, out):
    return [folder / "arch.json", "--to", to, "--weights", folder / "weights.safetensors", "--out", out]


@pytest.mark.parametrize("to", ["python", "torchvision", "timm"])
def test_code_and_weights_beside_it_are_the_trained_network(to, trained, tmp_path, capsys):
    pytest.importorskip("torch" if to == "python" else to)
    assert exit_code(main, with_weights(trained, to, tmp_path / "net.py")) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"net.py", "net.safetensors"}
    assert "net.safetensors" in capsys.readouterr().out
    theirs = runpy.run_path(str(tmp_path / "net.py"))["create"]().eval()
    theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "net.safetensors"))
    images = torch.randn(4, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(theirs(images), as_trained(trained)(images))
    with safetensors.safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert tuple(json.loads(file.metadata()["class_names"])) == CLASS_NAMES
        assert file.metadata()["format"] == "pt"


@pytest.mark.parametrize("to", ["python", "timm"])
def test_options_come_with_the_weights(to, trained, tmp_path):
    pytest.importorskip("torch" if to == "python" else to)
    options = BuildOptions(padding="same", norm_eps=1e-2)
    tensors = safetensors.torch.load_file(trained / "weights.safetensors")
    said = {"options": json.dumps(options.to_dict())}
    safetensors.torch.save_file(tensors, tmp_path / "same.safetensors", said)
    args = ["--to", to, "--weights", tmp_path / "same.safetensors", "--out", tmp_path / "net.py"]
    assert exit_code(main, [trained / "arch.json", *args]) == 0
    theirs = runpy.run_path(str(tmp_path / "net.py"))["create"]().eval()
    theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "net.safetensors"))
    ours = as_trained(trained, options)
    images = torch.randn(4, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(theirs(images), ours(images))
        assert not torch.allclose(as_trained(trained)(images), ours(images), rtol=1e-3)


@pytest.mark.parametrize("layout", ["torchvision", "timm"])
def test_weights_may_be_another_librarys(layout, trained, tmp_path):
    ours = as_trained(trained)
    # Half precision and no count of batches: what loads into a network can be exported.
    state = {name: tensor.half() if tensor.ndim else tensor for name, tensor in named_weights(ours, layout).items()}
    state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save({"state_dict": state}, tmp_path / "theirs.pth")
    args = ["--to", "python", "--weights", tmp_path / "theirs.pth", "--out", tmp_path / "net.py"]
    assert exit_code(main, [trained / "arch.json", *args]) == 0
    found = safetensors.torch.load_file(tmp_path / "net.safetensors")
    theirs = runpy.run_path(str(tmp_path / "net.py"))["create"]()
    theirs.load_state_dict(found)
    weight = ours.state_dict()["features.0.0.weight"]
    assert torch.equal(found["features.0.0.weight"], weight.half().float())


def test_a_program_is_the_trained_network(trained, tmp_path):
    assert exit_code(main, with_weights(trained, "torch-export", tmp_path / "S.pt2")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["S.pt2"]
    extra = {"metadata.json": ""}
    program = torch.export.load(tmp_path / "S.pt2", extra_files=extra).module()
    images = torch.randn(3, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.allclose(program(images), as_trained(trained)(images), rtol=1e-4, atol=1e-5)
    said = json.loads(extra["metadata.json"])
    assert (tuple(json.loads(said["class_names"])), said["image_size"]) == (CLASS_NAMES, str(SIZE))


def test_an_onnx_model_is_the_trained_network(trained, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    assert exit_code(main, with_weights(trained, "onnx", tmp_path / "S.onnx")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["S.onnx"]
    session = runtime.InferenceSession(tmp_path / "S.onnx")
    images = torch.randn(3, 1, SIZE, SIZE)
    (logits,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(logits), as_trained(trained)(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("to", [name for name, exporter in EXPORTERS.items() if exporter.weights != "inside"])
def test_text_is_printed_as_it_would_be_written(to, tmp_path, capsys):
    args = ["efficientnet_v2_b0", "--to", to, "--num-classes", 5, "--image-size", 64]
    assert exit_code(main, args) == 0
    printed = capsys.readouterr().out
    assert exit_code(main, [*args, "--out", tmp_path / "file"]) == 0
    assert (tmp_path / "file").read_text() == printed
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_json_is_an_architecture(tmp_path):
    export(ExportSettings("efficientnet_v2_b0", "json", out=tmp_path / "b0.json"), Console(file=io.StringIO()))
    assert ArchSpec.load(tmp_path / "b0.json") == get_arch("efficientnet_v2_b0")


def test_sizes_are_those_given_else_the_networks_own(capsys):
    assert exit_code(main, ["efficientnet_v2_s", "--to", "markdown"]) == 0
    assert "images of 3x384x384 and 1,000 classes: 21,458,488 parameters" in capsys.readouterr().out
    args = ["--num-classes", 10, "--in-channels", 1, "--image-size", 32]
    assert exit_code(main, ["efficientnet_v2_s", "--to", "markdown", *args]) == 0
    assert "images of 1x32x32 and 10 classes" in capsys.readouterr().out


OPTIONS = {
    "same": '{"padding": "same"}',
    "list": "[]",
    "unknown": '{"epsilon": 1}',
    "huge": f'{{"norm_eps": 1{400 * "0"}}}',
}


def bad_files(folder, trained):
    """Write what the cases below are about."""
    weights = trained / "weights.safetensors"
    tensors = safetensors.torch.load_file(weights)
    (folder / "text.safetensors").write_text("weights")
    (folder / "there.py").write_text("")
    (folder / "beside.safetensors").write_text("")
    safetensors.torch.save_file({"x": torch.zeros(1)}, folder / "other.safetensors")
    for name, text in OPTIONS.items():
        safetensors.torch.save_file(tensors, folder / f"{name}.safetensors", {"options": text})
    tensors["features.0.0.weight"] = tensors["features.0.0.weight"][:, :, :1].contiguous()
    safetensors.torch.save_file(tensors, folder / "shape.safetensors")
    for key, text in (("arch", "{"), ("image_size", '"a"'), ("options", "[")):
        safetensors.torch.save_file(tensors, folder / f"{key}.safetensors", {key: text})
    odd = ArchSpec.load(trained / "arch.json")
    replace(odd, stages=(replace(odd.stages[0], out_channels=9), *odd.stages[1:])).save(folder / "odd.json")


BAD = {
    "a name that is not known": ({"arch": "efficientnet_v2_x"}, "Did you mean"),
    "a missing file": ({"arch": "nowhere/S.json"}, "No such file"),
    "an unknown target": ({"--to": "onxn"}, "`to` must be a target, got 'onxn'. Did you mean 'onnx'?"),
    "no classes": ({"--num-classes": 0}, "`num_classes` must be at least 1, got 0"),
    "no channels": ({"--in-channels": -1}, "`in_channels` must be at least 1, got -1"),
    "no pixels": ({"--image-size": 0}, "`image_size` must be at least 1, got 0"),
    "too many pixels": ({"--image-size": 10**9}, "`image_size` must be at most 4096"),
    "a program without a file": ({"--to": "onnx", "--out": None}, "`out` must be given with onnx"),
    "weights without a file": ({"--out": None}, "`out` must be given with python"),
    "a file that is there": ({"--out": "there.py"}, "`out` must be a new file, got 'there.py'"),
    "weights that are there": ({"--out": "beside.py"}, "`out` must be a new file, got 'beside.safetensors'"),
    "code where weights go": ({"--out": "new.safetensors"}, "end it with .py"),
    "a folder that is not there": ({"--out": "nowhere/new.py"}, "in a folder that can be written to"),
    "a file as a folder": ({"--out": "there.py/new.py"}, "in a folder that can be written to"),
    "weights for a table": ({"--to": "markdown"}, "`weights` must be left out here"),
    "missing weights": ({"--weights": "nowhere.safetensors"}, "`weights` must be a readable file"),
    "a folder as weights": ({"--weights": "."}, "`weights` must be"),
    "weights that are text": (
        {"--weights": "text.safetensors"},
        " safetensors file",
    ),
    "weights of something else": ({"--weights": "other.safetensors"}, "1 unexpected (x)"),
    "weights of another shape": (
        {"--weights": "shape.safetensors"},
        "features.0.0.weight: theirs 8x1x1x3, ours 8x1x3x3",
    ),
    "damaged metadata": ({"--weights": "arch.safetensors"}, "`metadata of the weights` must be JSON"),
    "a damaged size": ({"--weights": "image_size.safetensors"}, "`image_size of the weights` must be at least 1"),
    "damaged options": ({"--weights": "options.safetensors"}, "`metadata of the weights` must be JSON"),
    "options of another kind": ({"--weights": "list.safetensors"}, "list.safetensors: `build options` must be a JSON"),
    "an unknown option": ({"--weights": "unknown.safetensors"}, "`build options` must be among padding, norm_eps"),
    "an option out of range": ({"--weights": "huge.safetensors"}, "`norm_eps` must be a number above 0, at most 1"),
    "padding that torchvision lacks": (
        {"--to": "torchvision", "--weights": "same.safetensors"},
        '`padding` must be "symmetric" for torchvision',
    ),
    "weights of another network": ({"arch": "efficientnet_v2_b0"}, "`weights` must be of the architecture"),
    "other classes than the weights'": ({"--num-classes": 4}, "classifier.1.weight: theirs 3x32, ours 4x32"),
    "what torchvision cannot say": (
        {"arch": "odd.json", "--to": "torchvision", "--weights": None},
        "`hidden channels of stage 2` must be multiples of 8, got 18",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_writes_nothing(what, trained, tmp_path, monkeypatch, capsys):
    bad_files(tmp_path, trained)
    monkeypatch.chdir(tmp_path)
    before = everything_in(tmp_path)
    changes, message = BAD[what]
    given = {
        "arch": trained / "arch.json",
        "--to": "python",
        "--weights": trained / "weights.safetensors",
        "--out": "new.py",
        **changes,
    }
    arch = given.pop("arch")
    args = [word for name, value in given.items() if value is not None for word in (name, value)]
    assert message in refusal(main, [arch, *args], capsys)
    assert everything_in(tmp_path) == before


def test_text_needs_no_torch():
    run = "nas.export.main(['efficientnet_v2_s', '--to', 'timm'])"
    process = start("-c", f"import sys, nas.export; {run}; assert 'torch' not in sys.modules")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "ir_r15_k3_s2_e6_c256_se0.25" in out
