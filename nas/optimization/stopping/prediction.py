"""Accuracy at the end of training, predicted from a rung, when most candidates never get there.

Candidates that were trained to the end are survivors: a fit of their final accuracies to an early rung would believe
that whoever looks like them there ends as well as they did. So there is a fit for each step of the way, from a rung
to the next and from the last one to the end, to all that came so far; predictions go along the chain, and their errors
add up. Who goes on is decided by what a step starts from, and that does not bias its fit (Anderson 1957, "Maximum
Likelihood Estimates for a Multivariate Normal Distribution when Some Observations are Missing"). It is assumed that a
rung says all that the rungs before it do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.evaluation.measurement import Measurement, Rung

Path = tuple[float, ...]
"""A candidate's signal at each rung that it came to, and its accuracy if it came to the end."""


def signal(rung: Rung) -> float:
    """Return what a prediction is made from: the training loss. All candidates see the same images in the same order,
    so that they compare well by it, and it is there for nothing: results/early_stopping/README.md.
    """
    return rung.train_loss


@dataclass(frozen=True, slots=True)
class Link:
    """A straight line from one value to the next, as plain numbers.

    Attributes:
        number: Of pairs that it was fitted to, at least three.
        center: Mean of the values that it starts from.
        spread: Sum of their squared distances from it.
        level: Mean of the values that it leads to.
        slope: Of the line.
        residual: Standard deviation of the distances from the line.
    """

    number: int
    center: float
    spread: float
    level: float
    slope: float
    residual: float

    @classmethod
    def fit(cls, starts: Sequence[float], ends: Sequence[float]) -> "Link":
        x, y = np.array(starts), np.array(ends)
        spread = float(((x - x.mean()) ** 2).sum())
        slope = float((x - x.mean()) @ (y - y.mean()) / spread) if spread > 0 else 0.0
        residuals = y - y.mean() - slope * (x - x.mean())
        residual = float(np.sqrt(residuals @ residuals / (len(x) - 2)))
        return cls(len(x), float(x.mean()), spread, float(y.mean()), slope, residual)

    def follow(self, mean: float, variance: float) -> tuple[float, float]:
        """Return mean and variance at the end of the line, given those at its start."""
        distance = mean - self.center
        leverage = 1 / self.number + (distance**2 / self.spread if self.spread > 0 else 0.0)
        along = self.slope**2 * variance + self.residual**2 * (1 + leverage)
        return self.level + self.slope * distance, along


@dataclass(frozen=True, slots=True)
class Prediction:
    """Attributes:
    links: From each rung to the next one, and from the last to the accuracy at the end.
    """

    links: tuple[Link, ...]

    @classmethod
    def fit(cls, shares: Sequence[float], paths: Sequence[Path]) -> "Prediction | None":
        """Fit to candidates, stopped ones included; None where fewer than three were trained to the end."""
        links = []
        for index in range(len(shares)):
            pairs = [path[index : index + 2] for path in paths if len(path) > index + 1]
            if len(pairs) < 3:
                return None
            links.append(Link.fit(*zip(*pairs, strict=True)))
        return cls(tuple(links))

    def predict(self, index: int, rung: Rung) -> tuple[float, float]:
        """Return the expected accuracy at the end and its standard error, from the rung with an index."""
        mean, variance = signal(rung), 0.0
        for link in self.links[index:]:
            mean, variance = link.follow(mean, variance)
        return mean, variance**0.5


def path_of(shares: Sequence[float], measurement: Measurement) -> Path:
    """Return a candidate's signals at the rungs that it came to, and its accuracy if it came to the end.

    A path ends where a rung is missing or holds no number.
    """
    signals = {rung.share: signal(rung) for rung in measurement.rungs}
    path = list[float]()
    for share in shares:
        if not np.isfinite(signals.get(share, np.nan)):
            return tuple(path)
        path.append(signals[share])
    return tuple(path) if measurement.stopped else (*path, measurement.accuracy)
