import csv
import json
import stat

import pytest
import safetensors
import torch
from safetensors.torch import load_model

from nas import ArchSpec
from nas.data import ImageSet
from nas.models import BuildOptions, build_model, get_options
from nas.training.course import Epoch
from nas.training.folder import TrainingFolder
from nas.training.loop import normaliser, predict


@pytest.fixture
def folder(tmp_path, spec, dataset):
    return TrainingFolder(tmp_path, spec, dataset)


def make_model(spec, seed):
    torch.manual_seed(seed)
    return build_model(spec, num_classes=2, in_channels=1).eval()


def epoch(number, accuracy):
    return Epoch(number, number * 5, 16, 0.5, accuracy, 0.25, 0.001, number * 1.0, number * 1.5)


def metadata(path):
    with safetensors.safe_open(path, "pt") as file:
        return file.metadata()


def test_the_best_weights_are_kept_as_they_come_and_the_last_at_the_end(folder, spec):
    epochs = [epoch(number, accuracy) for number, accuracy in enumerate([0.5, 0.75, 0.75, 0.25], start=1)]
    best = []
    for number in (1, 2, 3, 4):
        folder.add(epochs[:number], make_model(spec, number))
        best.append(metadata(folder.best_weights_path)["epoch"])
    assert not folder.weights_path.exists()
    folder.finish(epochs[-1], make_model(spec, 4))
    assert best == ["1", "2", "2", "2"]
    for path, seed in ((folder.best_weights_path, 2), (folder.weights_path, 4)):
        model = make_model(spec, 99)
        load_model(model, path)
        expected = make_model(spec, seed).state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_the_table_grows_with_every_epoch(folder, spec):
    epochs = [epoch(1, 0.5), epoch(2, 0.5), epoch(3, 0.5)]
    for number in (1, 2, 3, 2):  # In the end the training was taken up again after the first epoch.
        folder.add(epochs[:number], make_model(spec, 0))
        with folder.metrics_path.open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == number
    assert {name: float(value) for name, value in rows[1].items()} == {
        **{"epoch": 2, "step": 10, "image_size": 16, "train_loss": 0.5, "val_accuracy": 0.5, "val_loss": 0.25},
        **{"learning_rate": 0.001, "train_s": 2.0, "elapsed_s": 3.0},
    }


def test_a_file_says_all_that_predicting_needs(folder, spec, dataset):
    saved = make_model(spec, 3).to(memory_format=torch.channels_last)
    folder.finish(epoch(1, 0.75), saved)
    found = metadata(folder.weights_path)
    names, mean, std = (json.loads(found[key]) for key in ("class_names", "mean", "std"))
    read = ArchSpec.from_dict(json.loads(found["arch"]))
    assert read == ArchSpec.load(folder.path / "arch.json") == spec
    assert names == ["horizontal", "vertical"]
    assert (found["val_accuracy"], found["data"]) == ("0.75", "stripes")
    assert float(found["val_accuracy_stderr"]) == pytest.approx((0.75 * 0.25 / 101) ** 0.5)

    model = build_model(read, num_classes=len(names), in_channels=len(mean)).eval()
    load_model(model, folder.weights_path)
    size = int(found["image_size"])
    image = dataset.val.images[:1]
    assert image.shape[-1] == size
    with torch.no_grad():
        logits = model((image / 255 - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1))
    assert torch.allclose(
        logits, predict(saved, ImageSet(image, dataset.val.labels[:1]), normaliser(dataset)), atol=1e-4
    )


def test_a_file_says_how_its_network_was_built(tmp_path, spec, dataset):
    model = build_model(spec, 2, in_channels=1, options=get_options("timm_tf")).eval()
    folder = TrainingFolder(tmp_path, spec, dataset, model.options)
    folder.finish(epoch(1, 0.5), model)
    options = BuildOptions.from_dict(json.loads(metadata(folder.weights_path)["options"]))
    again = build_model(spec, 2, in_channels=1, options=options).eval()
    load_model(again, folder.weights_path)
    images = torch.randn(2, 1, 16, 16)
    assert torch.equal(again(images), model(images))


def test_files_are_replaced_in_one_step_and_can_be_read_by_others(folder, spec):
    folder.add([epoch(1, 0.5)], make_model(spec, 0))
    folder.finish(epoch(1, 0.5), make_model(spec, 0))
    assert {path.name for path in folder.path.iterdir()} == {
        *("arch.json", "metrics.csv", "weights.safetensors", "best.safetensors")
    }
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}
    assert len(modes) == 1
