"""`Scorer`: the training-free scores of networks on one data set."""

import math
from collections.abc import Sequence

import torch

from nas.data import Dataset
from nas.evaluation.signals import SIGNALS
from nas.models import build_model
from nas.spec import ArchSpec
from nas.training.loop import normaliser

BATCH_SIZE = 64
"""Training images that every network is scored on, the same for all."""

_SEED = 0
"""Of the initial weights: a score belongs to the network, whatever the search's seed."""


class Scorer:
    """Scores networks on the first images of a data set's own stratified order.

    Args:
        dataset: On the device where networks are to be scored.
        names: Of the scores, keys of `SIGNALS`.
    """

    def __init__(self, dataset: Dataset, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._dataset = dataset
        self._batch = dataset.train.subset(min(BATCH_SIZE, len(dataset.train))).held()

    def __call__(self, spec: ArchSpec) -> dict[str, float | None]:
        """Return the scores by name, higher is better; None for one that is not finite."""
        images = normaliser(self._dataset, spec.train_image_size)(self._batch.images)
        torch.manual_seed(_SEED)
        model = build_model(spec, self._dataset.num_classes, self._dataset.in_channels).to(images.device)
        scores = {name: SIGNALS[name](model, images, self._batch.labels) for name in self.names}
        return {name: score if math.isfinite(score) else None for name, score in scores.items()}
