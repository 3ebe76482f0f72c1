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
    """Read trials.csv and rungs.csv of a run whose trainings all went to the end."""
    trials, rungs = pd.read_csv(folder / "trials.csv"), pd.read_csv(folder / "rungs.csv")
    known = [f.name for f in fields(Measurement) if f.name in trials.columns]
    found = []
    for row in trials[trials["state"] == "measured"].to_dict("records"):
        mine = rungs[rungs["number"] == row["number"]].sort_values("share")[[f.name for f in fields(Rung)]]
        passed = tuple(Rung(**rung) for rung in mine.to_dict("records"))
        found.append(Measurement(**{name: row[name] for name in known}, rungs=passed))
    return found


@dataclass(frozen=True, slots=True)
class Replayed:
    """Attributes:
    ended: What the search would have known of the candidates, in the order in which they ended.
    train_s: Seconds of training and rungs, of all workers together.
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
    """Return how a candidate ends under a rule, and its seconds of training and rungs."""
    looked_s, passed = 0.0, list[Rung]()
    for rung in whole.rungs:
        if rung.share not in rule.rungs:
            continue
        looked_s += rung.rung_s
        passed.append(rung)
        so_far = replace(whole, accuracy=math.nan, rungs=tuple(passed))
        if rule.stops(so_far):
            return replace(so_far, accuracy=rung.accuracy, stopped=True), rung.train_s + looked_s
    return replace(whole, rungs=tuple(passed)), plain_train_s(whole) + looked_s


def plain_train_s(whole: Measurement) -> float:
    """Return the seconds of training and validation without any rungs."""
    return whole.train_s - (whole.paused_s or 0.0) - sum(rung.rung_s for rung in whole.rungs)


def simulate_rungs(log: Sequence[Measurement], others: Sequence[Measurement], seed: int) -> list[Measurement]:
    """Give candidates that have no rungs some that say as much of their accuracy as those of a log do.

    Losses and accuracies at the log's validated rungs are fitted to its final accuracies. To what the fit makes of the
    others' is added noise with the covariance of the residuals, so that errors of one candidate at several rungs are as
    alike as in the log. A rung takes the share of a training's time that it took in the log.
    """
    shares = [rung.share for rung in log[0].rungs if not math.isnan(rung.val_loss)]
    validated = [[rung for rung in m.rungs if rung.share in shares] for m in log]
    signals = np.array([[r.val_loss for r in rungs] + [r.accuracy for r in rungs] for rungs in validated])
    finals = np.array([(1.0, m.accuracy) for m in log])
    fit = np.linalg.pinv(finals) @ signals
    residuals = signals - finals @ fit
    covariance = residuals.T @ residuals / (len(log) - 2)
    noise = np.random.default_rng(seed).multivariate_normal(np.zeros(2 * len(shares)), covariance, size=len(others))
    simulated = np.array([(1.0, m.accuracy) for m in others]) @ fit + noise
    looking = np.median([r.rung_s / plain_train_s(m) for m in log for r in m.rungs if r.share in shares])
    return [_simulated(m, shares, row, float(looking)) for m, row in zip(others, simulated.tolist(), strict=True)]


def _simulated(plain: Measurement, shares: list[float], signals: list[float], looking: float) -> Measurement:
    """Return a candidate with rungs; 84% of training and validation are training, as in the log."""
    whole_s = plain_train_s(plain)
    rung_s = looking * whole_s
    passed = tuple(
        Rung(share, 0, accuracy, loss, 1000, math.nan, 0.84 * share * whole_s, rung_s)
        for share, loss, accuracy in zip(shares, signals[: len(shares)], signals[len(shares) :], strict=True)
    )
    return replace(plain, train_s=whole_s + rung_s * len(shares), paused_s=None, rungs=passed)


def front_volume(found: Sequence[Measurement], log: Sequence[Measurement]) -> float:
    """Return the hypervolume of accuracy, step time and parameters, in the box of the log, costs on a log scale."""
    everything = _costs(log)
    low, high = everything.min(axis=0), everything.max(axis=0)
    return dominated_volume((_costs(found) - low) / (high - low), np.ones(3))


def _costs(found: Sequence[Measurement]) -> NDArray[np.float64]:
    return np.array([(-m.accuracy, math.log(m.relative_step_time), math.log(m.num_params)) for m in found])
