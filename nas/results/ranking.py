"""How far one ranking of networks agrees with another, and what noise leaves of that. Plain numpy, no torch.

Networks are resampled by weights: a weight is how often a network is in a sample. So tau of a thousand bootstrap
samples is a few matrix products, and a duplicate is a tie with itself, which tau-b leaves out.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

NUM_RESAMPLES = 1000


def kendall_tau(scores: Floats, truth: Floats) -> float:
    """Return Kendall's tau-b of two scores, -1 to 1; higher is better, NaN where one of them is constant.

    Args:
        scores: Of shape (networks,), without NaN.
        truth: Likewise.
    """
    return float(weighted_tau(scores, truth, np.ones(len(truth))))


def weighted_tau(scores: Floats, truth: Floats, weights: Floats) -> Floats:
    """Return Kendall's tau-b of samples that hold each network as often as `weights` says.

    Args:
        scores: Of shape (networks,).
        truth: Likewise.
        weights: Of shape (..., networks), 0 or more.

    Returns:
        Of shape (...,); NaN for samples in which one of the two is constant.
    """
    one, other = (np.sign(values[:, None] - values[None, :]) for values in (scores, truth))

    def over_pairs(values: Floats) -> Floats:
        return np.asarray((weights @ values * weights).sum(-1))

    scale = np.sqrt(over_pairs(one**2) * over_pairs(other**2))
    taus: Floats = np.full(scale.shape, np.nan)
    np.divide(over_pairs(one * other), scale, out=taus, where=scale > 0)
    return taus


def top_weights(truth: Floats, weights: Floats, fraction: float) -> Floats:
    """Return the weights of the truly best networks, that `fraction` of each sample; those of the others are 0.

    Args:
        truth: Of shape (networks,), higher is better.
        weights: Of shape (..., networks).
        fraction: Above 0, at most 1; rounded up to a whole number of networks.
    """
    order = np.argsort(-truth, kind="stable")
    sorted_weights = weights[..., order]
    size = np.ceil(fraction * weights.sum(-1, keepdims=True) - 1e-9)
    before = sorted_weights.cumsum(-1) - sorted_weights
    kept = np.zeros_like(weights)
    kept[..., order] = np.clip(size - before, 0, sorted_weights)
    return kept


def mean_tau(runs: Floats, truth: Floats, weights: Floats, top: float = 1.0) -> Floats:
    """Return tau between single runs and the truth, its mean over seeds: what a search with one of the seeds would see.

    Args:
        runs: Of shape (networks, seeds); NaN where a run is missing.
        truth: Of shape (networks,); NaN where it is not known.
        weights: Of shape (..., networks).
        top: Tau among this fraction of the truly best networks.

    Returns:
        Of shape (...,).
    """
    known = np.isfinite(truth)
    taus = []
    for run in runs.T:
        both = known & np.isfinite(run)
        chosen = top_weights(truth[both], weights[..., both], top)
        taus.append(weighted_tau(run[both], truth[both], chosen))
    return np.asarray(np.mean(taus, axis=0)) if taus else np.full(weights.shape[:-1], np.nan)


def seed_tau(runs: Floats, weights: Floats) -> Floats:
    """Return tau between two seeds' runs, mean over pairs of seeds; NaN with a single seed. Arguments as `mean_tau`."""
    pairs = itertools.combinations(range(runs.shape[1]), 2)
    taus = [mean_tau(runs[:, [one]], runs[:, other], weights) for one, other in pairs]
    return np.asarray(np.mean(taus, axis=0)) if taus else np.full(weights.shape[:-1], np.nan)


def regret(runs: Floats, truth: Floats, top: int) -> float:
    """Return what choosing by a run costs: the best network's truth less that of the best of the run's first `top`.

    The mean over seeds, in the truth's unit, 0 or more; lower is better. Arguments as `mean_tau`.
    """
    known = np.isfinite(truth)
    losses = []
    for run in runs.T:
        both = known & np.isfinite(run)
        if both.any():
            first = np.argsort(-run[both], kind="stable")[:top]
            losses.append(truth[both].max() - truth[both][first].max())
    return float(np.mean(losses)) if losses else math.nan


def network_means(runs: Floats) -> Floats:
    """Return each network's mean over seeds, of shape (networks,); NaN where it has no run.

    What a seed adds to all networks alike is taken out first, as far as networks with all seeds tell it: otherwise
    networks whose second seed is still missing would be shifted against the others.

    Args:
        runs: Of shape (networks, seeds); NaN where a run is missing.
    """
    whole = runs[np.isfinite(runs).all(axis=1)]
    shift = whole.mean(axis=0) - whole.mean() if whole.size else np.zeros(runs.shape[1])
    shifted, there = runs - shift, np.isfinite(runs)
    count = there.sum(axis=1)
    total = np.where(there, shifted, 0.0).sum(axis=1)
    means: Floats = np.full(len(runs), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


@dataclass(frozen=True, slots=True)
class Components:
    """What makes single runs differ. In the unit of the runs.

    Attributes:
        spread: Standard deviation across networks, the noise taken out.
        noise: Standard deviation of a network's single run about its own mean, without what a seed adds to all alike.
    """

    spread: Floats
    noise: Floats

    @property
    def ratio(self) -> Floats:
        """Spread / noise; higher is better, NaN where there is no noise."""
        return np.asarray(self.spread / np.where(self.noise == 0, np.nan, self.noise))

    def correlation(self, num_seeds: float) -> Floats:
        """Return the correlation of means over `num_seeds` runs with the networks' own values, 0 to 1.

        Where networks have different numbers of runs, `num_seeds` is their harmonic mean.
        """
        variance = self.spread**2 + self.noise**2 / num_seeds
        return np.asarray(self.spread / np.sqrt(np.where(variance == 0, 1.0, variance)))


def components(runs: Floats) -> Components:
    """Split the variance of runs into that of networks and that of runs of one network (two-way, without interaction).

    Networks that are trained with one seed share data order and split, so that a seed can lift all of them; this does
    not disturb a ranking, and is not counted as noise.

    Args:
        runs: Of shape (..., networks, seeds), complete. With less than 2 networks or 2 seeds both are NaN.
    """
    networks, seeds = runs.shape[-2:]
    if networks < 2 or seeds < 2:
        missing = np.full(runs.shape[:-2], np.nan)
        return Components(missing, missing)
    means = runs.mean(-1, keepdims=True)
    rest = runs - means - runs.mean(-2, keepdims=True) + runs.mean((-2, -1), keepdims=True)
    noise = np.asarray((rest**2).sum((-2, -1)) / ((networks - 1) * (seeds - 1)))
    # The variance of the means holds the noise of a mean; what is left is the networks' own.
    spread = means[..., 0].var(-1, ddof=1) - noise / seeds
    return Components(np.asarray(np.sqrt(np.maximum(spread, 0.0))), np.asarray(np.sqrt(noise)))


def expected_tau(correlation: Floats) -> Floats:
    """Return the tau that a correlation of normally distributed values lets expect: 2 / pi * arcsin(correlation)."""
    return np.asarray(2 / np.pi * np.arcsin(np.clip(correlation, -1, 1)))


def resamples(num_networks: int, seed: int = 0, number: int = NUM_RESAMPLES) -> Indices:
    """Draw bootstrap samples of networks with replacement, of shape (number, num_networks), always the same ones."""
    return np.random.default_rng(seed).integers(num_networks, size=(number, num_networks))


def weights_of(samples: Indices) -> Floats:
    """Return how often each network is in each sample; of the samples' shape."""
    number, size = samples.shape
    weights = np.zeros((number, size))
    np.add.at(weights, (np.arange(number)[:, None], samples), 1.0)
    return weights


def interval(values: Floats) -> tuple[float, float]:
    """Return the 95% interval of a bootstrapped value; NaN where fewer than half of the samples give one."""
    known = values[np.isfinite(values)]
    if 2 * len(known) < len(values) or len(known) == 0:
        return math.nan, math.nan
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
