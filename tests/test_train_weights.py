"""`nas.train --weights`: trainings that start from weights of nas.train, torchvision and timm."""

import io
import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nas import ArchSpec
from nas.config import TrainSettings
from nas.models import build_model, export_weights
from nas.train import main, train
from tests.running import everything_in, exit_code, refusal
from tests.stripes import CLASS_NAMES, space, write_splits, write_stripes
from tests.test_train_interrupted import interrupted

CLASSIFIER = ("classifier.1.weight", "classifier.1.bias")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("data"), train=120, val=60)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory, data, arch):
    out = tmp_path_factory.mktemp("earlier") / "out"
    train(TrainSettings(str(arch), str(data), epochs=6, batch_size=20, out=out), Console(file=io.StringIO()))
    return out / "weights.safetensors"


@pytest.fixture
def flags(arch, data, earlier):
    return ["--arch", arch, "--data", data, "--epochs", 1, "--batch-size", 60, "--weights", earlier]


def begun_with(monkeypatch, capsys, *args):
    """Return the weights that a training begins with: those that its first step sees; and what is printed."""
    seen = {}

    def step(trainer, inputs, targets):
        seen.update({name: tensor.clone() for name, tensor in trainer.model.state_dict().items()})
        if trainer.average is not None:
            seen["average"] = {name: tensor.clone() for name, tensor in trainer.average.state_dict().items()}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nas.training.loop.Trainer.step", step)
        assert exit_code(main, args) == 130
    return seen, capsys.readouterr().out


def equal(one, other, left_out=()):
    """Whether two networks have the same tensors, but for some."""
    return all(torch.equal(one[name], other[name]) for name in other if name not in left_out)


def test_the_same_classes_keep_the_classifier(monkeypatch, capsys, flags, earlier, tmp_path):
    seen, said = begun_with(monkeypatch, capsys, *flags, "--out", tmp_path / "out")
    assert equal(seen, load_file(earlier))
    assert f"Starting from {earlier}: the classifier is kept\n" in said
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["start"]["path"] == str(earlier)
    assert len(manifest["start"]["fingerprint"]) == 16
    assert manifest["settings"]["weights"] == str(earlier)


def test_it_learns_faster_than_from_scratch(flags, tmp_path, capsys):
    small = ["--learning-rate", "0.0001", "--json"]
    assert exit_code(main, [*flags, *small, "--out", tmp_path / "tuned"]) == 0
    tuned = json.loads(capsys.readouterr().out)
    assert exit_code(main, [*flags[:-2], *small, "--out", tmp_path / "scratch"]) == 0
    scratch = json.loads(capsys.readouterr().out)
    assert tuned["validation"]["loss"] < scratch["validation"]["loss"] - 0.2


def test_another_number_of_classes_starts_the_classifier_anew(monkeypatch, capsys, flags, earlier, tmp_path):
    data = write_stripes(tmp_path / "two", 60)
    for file in (data / "squares").iterdir():
        file.unlink()
    (data / "squares").rmdir()
    seen, said = begun_with(monkeypatch, capsys, *flags, "--data", data, "--out", tmp_path / "out")
    assert equal(seen, load_file(earlier), CLASSIFIER)
    assert seen["classifier.1.weight"].shape[0] == 2
    assert "the classifier starts anew, for it has 3 classes and the data have 2" in said


def test_other_classes_of_the_same_number(monkeypatch, capsys, flags, earlier, tmp_path):
    data = write_stripes(tmp_path / "other", 60)
    (data / "squares").rename(data / "spots")
    seen, said = begun_with(monkeypatch, capsys, *flags, "--data", data, "--out", tmp_path / "out")
    assert equal(seen, load_file(earlier), CLASSIFIER)
    assert not torch.equal(seen[CLASSIFIER[0]], load_file(earlier)[CLASSIFIER[0]])
    assert "the classifier starts anew, for it has other classes and the data have 3" in said


def test_rows_of_the_classifier_follow_their_names(monkeypatch, capsys, flags, earlier, tmp_path):
    """The file's classes are named as if the data set had had them in another order."""
    with safe_open(earlier, "pt") as file:
        metadata = file.metadata()
    turned = [CLASS_NAMES[index] for index in (2, 0, 1)]
    save_file(load_file(earlier), tmp_path / "turned.safetensors", {**metadata, "class_names": json.dumps(turned)})
    args = [*flags, "--weights", tmp_path / "turned.safetensors", "--out", tmp_path / "out"]
    seen, said = begun_with(monkeypatch, capsys, *args)
    for name in CLASSIFIER:
        assert torch.equal(seen[name], load_file(earlier)[name][[1, 2, 0]])
    assert "the classifier is kept" in said


def test_with_a_published_recipe_the_average_begins_there_too(monkeypatch, capsys, flags, earlier, tmp_path):
    args = [*flags, "--recipe", "fine_tune", "--epochs", 2, "--dropout", "0", "--out", tmp_path / "out"]
    seen, _ = begun_with(monkeypatch, capsys, *args)
    assert equal(seen["average"], load_file(earlier))
    assert exit_code(main, [*args[:-1], tmp_path / "whole"]) == 0


@pytest.mark.parametrize("layout", ["torchvision", "timm"])
def test_files_of_others(monkeypatch, capsys, flags, layout, tmp_path):
    """Of RGB images and more classes, as published files are."""
    torch.manual_seed(5)
    model = build_model(space.reference, num_classes=7, in_channels=3)
    export_weights(model, tmp_path / "published.safetensors", layout)
    args = [*flags, "--weights", tmp_path / "published.safetensors", "--out", tmp_path / "out"]
    seen, said = begun_with(monkeypatch, capsys, *args)
    theirs = model.state_dict()
    assert equal(seen, theirs, (*CLASSIFIER, "features.0.0.weight"))
    assert torch.equal(seen["features.0.0.weight"], theirs["features.0.0.weight"].sum(1, keepdim=True))
    assert "it has 7 classes and the data have 3; the first convolution is adapted to 1-channel images" in said


def test_a_torch_file_without_a_classifier(monkeypatch, capsys, flags, earlier, tmp_path):
    state = {name: tensor for name, tensor in load_file(earlier).items() if name not in CLASSIFIER}
    torch.save({"state_dict": state}, tmp_path / "backbone.pth")
    args = [*flags, "--weights", tmp_path / "backbone.pth", "--out", tmp_path / "out"]
    seen, said = begun_with(monkeypatch, capsys, *args)
    assert equal(seen, state)
    assert "the classifier starts anew, for it has none" in said


def test_it_goes_on_without_the_file_from_a_checkpoint(monkeypatch, capsys, flags, earlier, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(earlier.read_bytes())
    args = [*flags, "--weights", copy, "--epochs", 3, "--checkpoint-every", "0.001", "--recipe", "fine_tune"]
    assert exit_code(main, [*args, "--out", tmp_path / "whole"]) == 0
    interrupted(monkeypatch, capsys, 4, *args, "--out", tmp_path / "out")
    copy.unlink()
    assert exit_code(main, ["--resume", tmp_path / "out"]) == 0
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("out", "whole"))
    assert equal(one, other)
    assert "Starting from" not in capsys.readouterr().out.rpartition("Going on with")[2]


def test_without_a_checkpoint_it_begins_anew_from_the_same_file(monkeypatch, capsys, flags, earlier, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(earlier.read_bytes())
    args = [*flags, "--weights", copy, "--epochs", 3]
    assert exit_code(main, [*args, "--out", tmp_path / "whole"]) == 0
    interrupted(monkeypatch, capsys, 4, *args, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()
    copy.rename(tmp_path / "away")
    assert "copy.safetensors'. No such file" in refusal(main, ["--resume", tmp_path / "out"], capsys)
    torch.manual_seed(1)
    export_weights(build_model(space.reference, num_classes=3, in_channels=1), copy)
    assert "there is no checkpoint to go on from" in refusal(main, ["--resume", tmp_path / "out"], capsys)
    (tmp_path / "away").replace(copy)
    assert exit_code(main, ["--resume", tmp_path / "out"]) == 0
    assert equal(*(load_file(tmp_path / name / "weights.safetensors") for name in ("out", "whole")))


def test_other_weights_are_refused_where_it_goes_on(monkeypatch, capsys, flags, earlier, tmp_path):
    interrupted(monkeypatch, capsys, 2, *flags, "--epochs", 3, "--out", tmp_path / "out")
    said = refusal(main, ["--resume", tmp_path / "out", "--weights", "other.safetensors"], capsys)
    assert "`weights` must be as in the training that is resumed (" in said
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({**manifest, "start": {"path": "x"}}))
    assert "`start in the manifest` must be" in refusal(main, ["--resume", tmp_path / "out"], capsys)


def test_a_training_of_an_earlier_version_goes_on(monkeypatch, capsys, flags, tmp_path):
    """Its manifest knows nothing of weights."""
    folder = tmp_path / "out"
    scratch = flags[:-2]
    interrupted(monkeypatch, capsys, 2, *scratch, "--epochs", 3, "--out", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.pop("start") is None
    assert manifest["settings"].pop("weights") is None
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert exit_code(main, ["--resume", folder]) == 0


def wider() -> ArchSpec:
    first, second = space.reference.stages
    return replace(space.reference, stages=(first, replace(second, out_channels=24, kernel_size=5)), name="wider")


def steeper() -> ArchSpec:
    first, second = space.reference.stages
    return replace(space.reference, stages=(first, replace(second, stride=1)), name="steeper")


BAD = {
    "no such file": (["--weights", "nowhere.safetensors"], "No such file"),
    "a folder": (["--weights", "."], "`weights` must be a file"),
    "no weights at all": (["--weights", "S.json"], "`weights` must be a safetensors file, or a torch file"),
    "a torn file": (["--weights", "torn.safetensors"], "`weights` must be a whole safetensors file"),
    "another network": (
        ["--arch", "wider.json"],
        "`arch` must be the network that {weights} holds weights of, got 'wider'. They differ in kernel_size of stage "
        "2 (3 in the weights, 5 in --arch); out_channels of stage 2 (16 in the weights, 24 in --arch). Give the ",
    ),
    "another stride, which no shape tells": (
        ["--arch", "steeper.json"],
        "stride of stage 2 (2 in the weights, 1 in --",
    ),
    "another network, of others": (
        ["--weights", "published.safetensors"],
        "published.safetensors does not fit the network of --arch: `weights` must be those of the network, got tensors",
    ),
    "a published network": (["--arch", "efficientnet_v2_b0"], "number of stages (2 in the weights, 6 in --arch)"),
}


@pytest.mark.parametrize("what", BAD)
def test_weights_that_do_not_fit_are_one_line_and_write_nothing(what, flags, earlier, tmp_path, monkeypatch, capsys):
    for name, spec in {"S": space.reference, "wider": wider(), "steeper": steeper()}.items():
        spec.save(tmp_path / f"{name}.json")
    (tmp_path / "torn.safetensors").write_bytes(earlier.read_bytes()[:-100])
    export_weights(build_model(wider(), num_classes=3, in_channels=1), tmp_path / "published.safetensors")
    monkeypatch.chdir(tmp_path)
    before = everything_in(tmp_path)
    args, message = BAD[what]
    assert message.format(weights=earlier) in refusal(main, [*flags, *args], capsys)
    assert everything_in(tmp_path) == before


def test_dropout_may_be_another_one(monkeypatch, capsys, flags, earlier, tmp_path):
    replace(space.reference, dropout=0.5, stochastic_depth=0.1).save(tmp_path / "S.json")
    seen, _ = begun_with(monkeypatch, capsys, *flags, "--arch", tmp_path / "S.json", "--out", tmp_path / "out")
    assert equal(seen, load_file(earlier))
