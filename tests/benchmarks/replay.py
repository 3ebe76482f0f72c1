"""A log of whole trainings with rungs, replayed as a search with early stopping would have run."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.evaluation.job import StopRule
from nas.evaluation.measurement import Measurement, Rung
from nas.optimization.stopping import EarlyStopping
from nas.results.volume import dominated_volume


def read_log(folder: Path) -> list[Measurement]:
    """Read the measured candidates, whose trainings all went to the end, and their rungs."""
    trials, rungs = pd.read_csv(folder / "trials.csv"), pd.read_csv(folder / "rungs.csv")
    known = [f.name for f in fields(Measurement) if f.name in trials.columns]
    found = []
    for row in trials.to_dict("records"):
        mine = rungs[rungs["number"] == row["number"]].sort_values("share")[[f.name for f in fields(Rung)]]
        passed = tuple(Rung(**rung) for rung in mine.astype(object).where(mine.notna(), None).to_dict("records"))
        found.append(Measurement(**{name: row[name] for name in known}, rungs=passed))
    return found


TRAINING_SHARE = 0.84
"""Of training and the validation at its end, as in results/early_stopping."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Attributes:
    ended: What the search would have known of the candidates, in the order in which they ended.
    train_s: Seconds of training and validation, of all workers together.
    """

    ended: list[Measurement]
    train_s: float

    @property
    def finished(self) -> list[Measurement]:
        return [measurement for measurement in self.ended if not measurement.stopped]


def replay(log: Sequence[Measurement], stopping: EarlyStopping, num_workers: int = 2) -> Replayed:
    """Give out the log's candidates in order. Each gets the rule made from those that had ended by then."""
    waiting, running = list(reversed(log)), list[tuple[float, int, Measurement]]()
    ended, spent, now = list[Measurement](), 0.0, 0.0
    while waiting or running:
        while waiting and len(running) < num_workers:
            outcome, train_s = _train(waiting.pop(), stopping.rule(ended))
            spent += train_s
            heapq.heappush(running, (now + train_s + outcome.timing_s, len(waiting), outcome))
        now, _, outcome = heapq.heappop(running)
        ended.append(outcome)
    return Replayed(ended, spent)


def _train(whole: Measurement, rule: StopRule) -> tuple[Measurement, float]:
    """Return how a candidate ends under a rule, and its seconds of training and validation.

    A part of a training costs its share of the steps: clocks of a machine that has other work say no more.
    """
    passed = list[Rung]()
    validation_s = _validation_s(whole)
    for rung in whole.rungs:
        if rung.share not in rule.rungs:
            continue
        passed.append(rung)
        so_far = replace(whole, accuracy=math.nan, rungs=tuple(passed))
        if rule.stops(so_far):
            # Rungs that nobody validated in the log have no accuracy; nothing in a replay asks for it.
            accuracy = math.nan if rung.accuracy is None else rung.accuracy
            num_validations = len(passed) if rule.validates else 1
            cost = TRAINING_SHARE * rung.share * plain_train_s(whole) + num_validations * validation_s
            return replace(so_far, accuracy=accuracy, stopped=True), cost
    looked_s = len(passed) * validation_s if rule.validates else 0.0
    return replace(whole, rungs=tuple(passed)), plain_train_s(whole) + looked_s


def _validation_s(whole: Measurement) -> float:
    """Return what a validation at a rung took, in the median."""
    return float(np.median([rung.rung_s for rung in whole.rungs if rung.accuracy is not None]))


def plain_train_s(whole: Measurement) -> float:
    """Return the seconds of training and validation without any rungs."""
    return whole.train_s - (whole.paused_s or 0.0) - sum(rung.rung_s for rung in whole.rungs)


def simulate_rungs(log: Sequence[Measurement], others: Sequence[Measurement], seed: int) -> list[Measurement]:
    """Give candidates that have no rungs some that say as much of their accuracy as those of a log do.

    Losses and accuracies at the log's rungs are fitted to its final accuracies and to what is known of size: at equal
    accuracy, networks of more parameters look better early. To what the fit makes of the others' is added noise with
    the covariance of the residuals, so that errors of one candidate at several rungs are as alike as in the log. A
    validation takes the share of a training's time that it took in the log.
    """
    validated = [index for index, rung in enumerate(log[0].rungs) if rung.accuracy is not None]
    signals = np.array([_signals(m, validated) for m in log])
    fit = np.linalg.pinv(_causes(log)) @ signals
    residuals = signals - _causes(log) @ fit
    covariance = residuals.T @ residuals / (len(log) - len(fit))
    noise = np.random.default_rng(seed).multivariate_normal(np.zeros(len(covariance)), covariance, size=len(others))
    simulated = _causes(others) @ fit + noise
    looking = float(np.median([_validation_s(m) / plain_train_s(m) for m in log]))
    return [
        _simulated(m, log[0].rungs, validated, row, looking) for m, row in zip(others, simulated.tolist(), strict=True)
    ]


def _signals(measurement: Measurement, validated: list[int]) -> list[float | None]:
    """Return training losses at all rungs, then losses and accuracies on validation images at some."""
    rungs = measurement.rungs
    return [r.train_loss for r in rungs] + [f for i in validated for f in (rungs[i].val_loss, rungs[i].accuracy)]


def _causes(found: Sequence[Measurement]) -> NDArray[np.float64]:
    return np.array([(1.0, m.accuracy, math.log(m.num_macs), math.log(m.num_params)) for m in found])


def _simulated(
    plain: Measurement, rungs: Sequence[Rung], validated: list[int], signals: list[float], looking: float
) -> Measurement:
    """Return a candidate with rungs at the shares of others."""
    whole_s, passed = plain_train_s(plain), list[Rung]()
    for index, rung in enumerate(rungs):
        looked = replace(rung, train_loss=signals[index], train_s=TRAINING_SHARE * rung.share * whole_s)
        if index in validated:
            place = len(rungs) + 2 * validated.index(index)
            loss, accuracy = signals[place : place + 2]
            looked = replace(looked, val_loss=loss, accuracy=accuracy, rung_s=looking * whole_s)
        passed.append(looked)
    train_s = whole_s + looking * whole_s * len(validated)
    return replace(plain, train_s=train_s, paused_s=None, rungs=tuple(passed))


def front_volume(found: Sequence[Measurement], log: Sequence[Measurement]) -> float:
    """Return the hypervolume of accuracy, step time and parameters, in the box of the log, costs on a log scale."""
    everything = _costs(log)
    low, high = everything.min(axis=0), everything.max(axis=0)
    return dominated_volume((_costs(found) - low) / (high - low), np.ones(3))


def _costs(found: Sequence[Measurement]) -> NDArray[np.float64]:
    return np.array([(-m.accuracy, math.log(m.relative_step_time), math.log(m.num_params)) for m in found])
