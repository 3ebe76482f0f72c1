"""Step times of networks that were not timed, from those of some that were: a sum of non-negative costs of layers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import invalid
from nas.evaluation.step_features import FEATURES, StepShape, step_features
from nas.spec import ArchSpec

MIN_NETWORKS = 10
"""Fewer timed networks do not say what the kinds of layers cost."""

_RIDGE = 1e-3
"""Weight of the penalty on a feature's mean share of the time, in networks: small, so that equal columns share."""
_NORMAL_PER_MEDIAN = 1.4826
"""Standard deviation / median absolute deviation of a normal distribution."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Attributes:
    step_time: In the unit of the times that were fitted: seconds, or times the reference's; lower is better.
    stderr: Its standard error as a fraction of `step_time`.
    """

    step_time: float
    stderr: float


@dataclass(frozen=True)
class StepTimePredictor:
    """A network's step time as a sum of its features, each times a coefficient of at least 0.

    Attributes:
        shape: What a step is.
        coefficients: One for each of `FEATURES`, in the times' unit per the feature's.
        residuals: For each network of the fit, what a predictor without it says / its time - 1.
        inverse: Of the fit's normal matrix, with 0 for features whose coefficient is 0; gives how far off the fitted
            networks a network lies.
    """

    shape: StepShape
    coefficients: Array
    residuals: Array
    inverse: Array

    @classmethod
    def fit(cls, specs: Sequence[ArchSpec], times: Sequence[float], shape: StepShape) -> "StepTimePredictor":
        """Fit to timed networks, minimising the squares of relative errors.

        Args:
            specs: At least `MIN_NETWORKS`.
            times: Of each, above 0, all in one unit.
            shape: Of the step that was timed.

        Raises:
            InvalidInputError: If there are too few, or a time is not above 0 and finite.
        """
        return cls.fit_features(np.array([step_features(spec, shape) for spec in specs]), np.array(times), shape)

    @classmethod
    def fit_features(cls, features: Array, times: Array, shape: StepShape) -> "StepTimePredictor":
        """`fit`, from features (networks, `FEATURES`) that are there already."""
        if len(times) < MIN_NETWORKS:
            raise invalid("timed networks", f"at least {MIN_NETWORKS}", len(times), "Time more of them.")
        if len(features) != len(times):
            raise invalid("times", f"as many as networks ({len(features)})", len(times), "Give one for each.")
        if not (np.isfinite(times) & (times > 0)).all():
            raise invalid("times", "above 0 and finite", times.tolist(), "Leave out what was not timed.")
        rows = features / times[:, None]
        scale = rows.mean(axis=0)
        scale[scale == 0] = 1.0
        shares = _solve(rows / scale)
        residuals = _left_out(rows / scale)
        used = shares > 0
        inverse = np.zeros((len(FEATURES), len(FEATURES)))
        inverse[np.ix_(used, used)] = np.linalg.inv(_normal(rows / scale)[np.ix_(used, used)])
        return cls(shape, shares / scale, residuals, inverse / np.outer(scale, scale))

    @property
    def error(self) -> float:
        """Median absolute error, as a fraction of the time, of predicting a network of the fit without it."""
        return float(np.median(np.abs(self.residuals)))

    @property
    def spread(self) -> float:
        """Standard deviation of those errors as their median tells it, so that a few mistimed networks do not."""
        return _NORMAL_PER_MEDIAN * self.error

    def predict(self, spec: ArchSpec) -> Prediction:
        """Predict a network's step time; the error grows with how unlike the fitted networks it is."""
        features = step_features(spec, self.shape)
        time = float(features @ self.coefficients)
        row = features / time
        return Prediction(time, self.spread * float(np.sqrt(1 + row @ self.inverse @ row)))

    def outliers(self, num_spreads: float = 4.0) -> list[int]:
        """Return which networks of the fit, by index, differ from what the others say by more than so many spreads."""
        return np.flatnonzero(np.abs(self.residuals) > num_spreads * self.spread).tolist()

    def reshaped(self, *, num_classes: int, in_channels: int) -> "StepTimePredictor":
        """Return the predictor for other data on the same device."""
        return replace(self, shape=replace(self.shape, num_classes=num_classes, in_channels=in_channels))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` is the inverse."""
        return {
            "shape": asdict(self.shape),
            "coefficients": dict(zip(FEATURES, self.coefficients.tolist(), strict=True)),
            "residuals": self.residuals.tolist(),
            "inverse": self.inverse.tolist(),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "StepTimePredictor":
        """Read what `to_dict` wrote; raise InvalidInputError where it is from another version or was damaged."""
        try:
            names, values = zip(*plain["coefficients"].items(), strict=True)
            found = cls(
                StepShape(**plain["shape"]),
                *(np.array(part, dtype=float) for part in (values, plain["residuals"], plain["inverse"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise invalid("predictor", "as this version writes it", plain, f"It lacks {error}.") from error
        if names != FEATURES:
            odd = next((name for name in names if name not in FEATURES), sorted(names))
            raise invalid("coefficients", "one for each feature", odd, "Measure the device again.")
        sizes = found.residuals.ndim, found.inverse.shape
        finite = all(np.isfinite(part).all() for part in (found.coefficients, found.residuals, found.inverse))
        if sizes != (1, (len(FEATURES), len(FEATURES))) or not finite or found.coefficients.min() < 0:
            raise invalid("predictor", "of finite numbers, coefficients of at least 0", plain, "Measure again.")
        return found


def _normal(rows: Array) -> Array:
    """Return the normal matrix of rows (networks, features) whose columns have means near 1."""
    return rows.T @ rows + _RIDGE * np.eye(rows.shape[1])


def _solve(rows: Array) -> Array:
    """Return the shares of at least 0 with which each row sums to nearly 1."""
    return _solve_normal(_normal(rows), rows.sum(axis=0))


def _solve_normal(normal: Array, target: Array) -> Array:
    """Minimise x.normal.x / 2 - target.x over x of at least 0."""
    from scipy.optimize import nnls  # Half a second that --help and --status should not take.

    upper = np.linalg.cholesky(normal).T
    found: Array = nnls(upper, np.linalg.solve(upper.T, target))[0]
    return found


def _left_out(rows: Array) -> Array:
    """Return for each row by how much the solution of all others misses 1 on it."""
    normal, target = _normal(rows), rows.sum(axis=0)
    return np.array([row @ _solve_normal(normal - np.outer(row, row), target - row) - 1 for row in rows])
