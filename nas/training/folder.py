"""`TrainingFolder`: the files that a training leaves."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from torch import nn

from nas.data.dataset import Dataset
from nas.files import replace_file
from nas.models.options import DEFAULT_OPTIONS, BuildOptions
from nas.spec import ArchSpec
from nas.training.course import Epoch
from nas.training.weights import epoch_metadata, prediction_metadata, save_weights

CHECKPOINT = "checkpoint.safetensors"


class TrainingFolder:
    """arch.json at once, metrics.csv and the best weights as the training goes on, the last weights at its end.

    Args:
        path: An existing folder: an empty one, or that of a training which goes on.
        spec: The network; its training size is the one it is trained at.
        dataset: What it is trained on.
        options: How it was built.
    """

    def __init__(self, path: Path, spec: ArchSpec, dataset: Dataset, options: BuildOptions = DEFAULT_OPTIONS) -> None:
        self.path = path
        self._metadata = prediction_metadata(dataset, spec, options)
        self._num_val_images = len(dataset.val)
        spec.save(path / "arch.json")

    @property
    def metrics_path(self) -> Path:
        """One row for every epoch that has ended; columns as in `Epoch`."""
        return self.path / "metrics.csv"

    @property
    def weights_path(self) -> Path:
        """Weights after the last epoch; there when the training has ended."""
        return self.path / "weights.safetensors"

    @property
    def best_weights_path(self) -> Path:
        """Weights after the epoch with the highest validation accuracy, which flatters them: it chose them."""
        return self.path / "best.safetensors"

    @property
    def checkpoint_path(self) -> Path:
        """The training on its way, to go on from after an interruption; gone when it has ended."""
        return self.path / CHECKPOINT

    def add(self, epochs: Sequence[Epoch], model: nn.Module) -> None:
        """Write all epochs that have ended, and the network validated after the last one if that is the best so far."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, epochs))
        # The whole table every time: a training that goes on may be some epochs behind what is there.
        replace_file(self.metrics_path, text.getvalue().encode())
        if all(epoch.val_accuracy < epochs[-1].val_accuracy for epoch in epochs[:-1]):
            self._save(model, self.best_weights_path, epochs[-1])

    def finish(self, epoch: Epoch, model: nn.Module) -> None:
        """Write the network that was validated after the last epoch."""
        self._save(model, self.weights_path, epoch)

    def _save(self, model: nn.Module, path: Path, epoch: Epoch) -> None:
        save_weights(
            model, path, self._metadata | epoch_metadata(epoch.epoch, epoch.val_accuracy, self._num_val_images)
        )
