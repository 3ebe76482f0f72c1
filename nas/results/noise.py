"""How much of the differences between candidates is noise.

The model. A candidate's measured accuracy is a sum of three parts: its accuracy on all images, averaged over seeds;
what the draw of the validation images adds; and what the seed adds, which is initialisation, data order and
augmentation. The standard error of the second is binomial. The standard deviation of the third is measured: a search
trains some of its candidates again with other seeds on the same images, and pools the variances within each (one-way
analysis of variance). It is taken to be the same for all candidates. An accuracy's standard error is that of both
parts together.

A search ranks by differences, and there the two parts count differently. All candidates see the same validation
images, and an image that is hard is hard for most of them, so most of the second part cancels. Networks under one seed
share the order of the data too, but not what it does to them: a difference holds the third part of both candidates. So
`Noise` compares the spread of candidates with the noise of the seed. What is simplified errs to the safe side: repeats
have a seed each, so their noise also holds what a seed does to all networks alike, which candidates share; and images
that the seed decides count in both parts.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
import pandas as pd
from scipy.special import gammaincinv

from nas.optimization.trials import candidates, measurement_of, noise_repeats

MIN_CANDIDATES = 10
"""Measured candidates from which on a spread is judged; as many random ones are preferred to all."""
_TAIL = 0.025
"""Of the 95% interval, on either side."""


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """The noise of the seed, as `pool` estimates it.

    Attributes:
        sd: Standard deviation of accuracy across seeds within a network, 0 to 1.
        low: Lower end of its 95% interval.
        high: Upper end.
        degrees_of_freedom: Trainings beyond the first of each network.
    """

    sd: float
    low: float
    high: float
    degrees_of_freedom: int

    @classmethod
    def pool(cls, networks: Collection[Sequence[float]]) -> "SeedNoise | None":
        """Estimate the noise from the accuracies of several networks, each a sequence over seeds.

        The interval is that of a variance of normal numbers (chi-square).

        Returns:
            None if no network was trained with two seeds.
        """
        freedom = sum(len(accuracies) - 1 for accuracies in networks if len(accuracies) > 1)
        if freedom == 0:
            return None
        squares = sum(float(np.var(accuracies)) * len(accuracies) for accuracies in networks if len(accuracies) > 1)
        low, high = (math.sqrt(squares / _chi_square(tail, freedom)) for tail in (1 - _TAIL, _TAIL))
        return cls(math.sqrt(squares / freedom), low, high, freedom)


def _chi_square(probability: float, freedom: int) -> float:
    """Return the value that a chi-square number is below with a probability."""
    return 2 * float(gammaincinv(freedom / 2, probability))


def seed_noise(study: optuna.Study) -> SeedNoise | None:
    """Return the noise of the seed from a study's repeats; None without any that was measured."""
    first = {trial.number: measurement_of(trial) for trial in candidates(study)}
    networks: dict[int, list[float]] = {}
    for done in noise_repeats(study):
        original = first.get(done.number)
        if original is None or done.measurement is None or done.measurement.fidelity != original.fidelity:
            continue
        networks.setdefault(done.number, [original.accuracy]).append(done.measurement.accuracy)
    return SeedNoise.pool(networks.values())


@dataclass(frozen=True, slots=True)
class Noise:
    """What tells candidates apart, and what does not.

    Attributes:
        seed: The noise of the seed; None where it was not measured.
        sampling_stderr: Median over candidates of the standard error from the number of validation images, 0 to 1.
        accuracy_sd: Standard deviation of accuracy across candidates as measured, 0 to 1.
        num_candidates: How many those are.
        is_random: Whether they were drawn at random; otherwise they are all that were measured, on which a sampler may
            have concentrated, so that they differ less than the space's networks do.
    """

    seed: SeedNoise | None
    sampling_stderr: float
    accuracy_sd: float
    num_candidates: int
    is_random: bool

    @property
    def sd(self) -> float:
        """The noise of one measurement among candidates: that of the seed; from the images alone where that is not
        known.
        """
        return self.sampling_stderr if self.seed is None else self.seed.sd

    @property
    def spread(self) -> float:
        """Standard deviation of accuracy across candidates with the noise taken out, 0 to 1."""
        return math.sqrt(max(0.0, self.accuracy_sd**2 - self.sd**2))

    @property
    def ratio(self) -> float:
        """Spread / noise, higher is better: below 1 a ranking is mostly noise, 3 allows a Kendall tau of about 0.8."""
        if self.spread == 0:
            return 0.0
        return self.spread / self.sd if self.sd > 0 else math.inf

    @property
    def num_repeats(self) -> int:
        """How many repeats the noise of the seed is known from."""
        return 0 if self.seed is None else self.seed.degrees_of_freedom

    @property
    def stderr(self) -> float:
        """Standard error of one accuracy: images and seed."""
        return math.hypot(self.sampling_stderr, 0.0 if self.seed is None else self.seed.sd)

    @property
    def warning(self) -> str | None:
        """What to say where the spread is below the noise; None where it is not, or for too few candidates."""
        if self.num_candidates < MIN_CANDIDATES or self.ratio >= 1:
            return None
        return (
            f"{self.describe()} This ranking is mostly noise: use more --val-images or a longer --fidelity, or let "
            "python -m nas.calibrate find one."
        )

    def describe(self) -> str:
        """Return spread and noise in a sentence or two."""
        which = f"{self.num_candidates} {'random ' if self.is_random else ''}candidates"
        if self.seed is None:
            noise = f"{_points(self.sd)} from the number of validation images alone; the seed's was not measured"
        else:
            noise = (
                f"{_points(self.sd)} ({100 * self.seed.low:.2f} to {100 * self.seed.high:.2f}, "
                f"from {self.num_repeats} repeats with other seeds)"
            )
        caution = "" if self.is_random else " A sampler that concentrates makes candidates alike."
        return (
            f"Accuracies of {which} differ by {_points(self.spread)} (standard deviation, noise taken out), and the "
            f"noise of one is {noise}.{caution}"
        )

    def to_dict(self) -> dict[str, float | int | bool | str | None]:
        """Return plain JSON types; fractions are 0 to 1, a ratio without noise is None."""
        return {
            "seed_sd": None if self.seed is None else self.seed.sd,
            "seed_sd_low": None if self.seed is None else self.seed.low,
            "seed_sd_high": None if self.seed is None else self.seed.high,
            "num_repeats": self.num_repeats,
            "sampling_stderr": self.sampling_stderr,
            "spread": self.spread,
            "ratio": self.ratio if math.isfinite(self.ratio) else None,
            "num_candidates": self.num_candidates,
            "is_random": self.is_random,
            "warning": self.warning,
        }


def _points(fraction: float) -> str:
    return f"{100 * fraction:.2f} points"


def measure_noise(trials: pd.DataFrame, seed: SeedNoise | None, *, num_random: int = 0) -> Noise | None:
    """Compare the spread of candidates with their noise.

    Args:
        trials: As `trials_frame` gives them.
        seed: The noise of the seed, from the study itself or from elsewhere; None where nobody measured it.
        num_random: Trials at the start that the sampler drew at random.

    Returns:
        None with fewer than two measured candidates.
    """
    measured = trials[trials["state"].eq("measured").fillna(False)]
    origin = measured["origin"].fillna("")
    random = measured[origin.eq("random") | (origin.eq("sampler") & (measured["number"] < num_random))]
    is_random = len(random) >= MIN_CANDIDATES
    chosen = random if is_random else measured
    if len(chosen) < 2:
        return None
    return Noise(
        seed=seed,
        sampling_stderr=float(chosen["accuracy_sampling_stderr"].median()),
        accuracy_sd=float(chosen["accuracy"].std()),
        num_candidates=len(chosen),
        is_random=is_random,
    )
