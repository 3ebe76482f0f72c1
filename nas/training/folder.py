"""`TrainingFolder`: the files that a training leaves."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

from torch import nn

from nas.data.dataset import Dataset
from nas.models.options import DEFAULT_OPTIONS, BuildOptions
from nas.spec import ArchSpec
from nas.training.course import Epoch
from nas.training.weights import epoch_metadata, prediction_metadata, save_weights


class TrainingFolder:
    """arch.json at once, metrics.csv and the best weights as the training goes on, the last weights at its end.

    Args:
        path: An existing, empty folder.
        spec: The network; its training size is the one it is trained at.
        dataset: What it is trained on.
        options: How it was built.
    """

    def __init__(self, path: Path, spec: ArchSpec, dataset: Dataset, options: BuildOptions = DEFAULT_OPTIONS) -> None:
        self.path = path
        self._metadata = prediction_metadata(dataset, spec, options)
        self._num_val_images = len(dataset.val)
        self._best: Epoch | None = None
        spec.save(path / "arch.json")
        self._append(field.name for field in fields(Epoch))

    @property
    def metrics_path(self) -> Path:
        """One row for every epoch that has ended; columns as in `Epoch`."""
        return self.path / "metrics.csv"

    @property
    def weights_path(self) -> Path:
        """Weights after the last epoch."""
        return self.path / "weights.safetensors"

    @property
    def best_weights_path(self) -> Path:
        """Weights after the epoch with the highest validation accuracy, which flatters them: it chose them."""
        return self.path / "best.safetensors"

    def add(self, epoch: Epoch, model: nn.Module, *, is_last: bool) -> None:
        """Write an epoch that has ended, and the network that was validated if it is the best so far or the last."""
        self._append(asdict(epoch).values())
        metadata = self._metadata | epoch_metadata(epoch.epoch, epoch.val_accuracy, self._num_val_images)
        if self._best is None or epoch.val_accuracy > self._best.val_accuracy:
            self._best = epoch
            save_weights(model, self.best_weights_path, metadata)
        if is_last:
            save_weights(model, self.weights_path, metadata)

    def _append(self, row: Iterable[object]) -> None:
        with self.metrics_path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row)
