"""A learned predictor of what costs training or timing to measure: accuracy, reward, step time.

It is a Gaussian process (Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", chapter 2) over the
choices of a candidate and the logarithms of what it costs in closed form. Candidates are alike as far as they share
choices and cost alike; on top there is a straight line through the costs.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nas.errors import invalid
from nas.optimization.encoding import Array, Codes, Encoding

_REFIT_EVERY = 25
_REFIT_EVERY_AT_FIRST = 5
"""The kernel's few numbers are found again whenever so many more candidates were measured."""
_MAX_KERNEL_ROWS = 200
_MAX_ROWS = 400
"""Only so many are learned from, the last ones, as the cost grows with their cube. A search's last ones are those that
matter, being near its front."""
_LEAST_SCALE = 1e-6
_START = np.array([-3.0, 0.5, -0.5, 0.0, -1.5])
"""Logarithms of the kernel's numbers, in the order of `Kernel`, for values of variance 1: where the search for the
likeliest begins, and the centre of a wide prior that keeps it from extremes."""
_PRIOR_SPREAD = 2.0
_REACH = 5.5
"""How far from `_START` the logarithms may go, so that the covariance can always be factored."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """How much the values of two candidates have to do with each other, for values of variance 1.

    Attributes:
        noise: Variance of measuring again.
        alike: Variance of what follows from choices and costs together.
        line: Variance of what follows from costs in a straight line.
        choices: How fast likeness falls with the fraction of choices that differ.
        costs: How fast it falls with the mean squared difference of standardised costs.
    """

    noise: float
    alike: float
    line: float
    choices: float
    costs: float

    def covariance(self, first: "_Rows", second: "_Rows") -> Array:
        """Return the covariance between the candidates of two sets, without noise."""
        differ, distance, product = _compare(first, second)
        near: Array = np.exp(-self.choices * differ - self.costs * distance)
        found: Array = self.alike * near + self.line * product
        return found

    def variance(self, rows: "_Rows") -> Array:
        """Return the diagonal of `covariance(rows, rows)`."""
        found: Array = self.alike + self.line * (rows.costs**2).mean(axis=1)
        return found


@dataclass(frozen=True, slots=True)
class _Rows:
    """Attributes:
    choices: One-hot, shape (candidates, values of all choices).
    costs: Standardised, shape (candidates, costs).
    num_choices: Ones in each row of `choices`.
    """

    choices: Array
    costs: Array
    num_choices: int

    def last(self, number: int) -> "_Rows":
        return _Rows(self.choices[-number:], self.costs[-number:], self.num_choices)


def _compare(first: _Rows, second: _Rows) -> tuple[Array, Array, Array]:
    """Return fraction of choices that differ, mean squared difference of costs, and mean product of costs."""
    differ = 1 - first.choices @ second.choices.T / first.num_choices
    num_costs = first.costs.shape[1]
    product = first.costs @ second.costs.T / num_costs
    squares = (first.costs**2).mean(axis=1)[:, None] + (second.costs**2).mean(axis=1)
    return differ, np.maximum(squares - 2 * product, 0.0), product


class AccuracyPredictor:
    """Predicts a measured value of candidates from those that were measured.

    Args:
        encoding: Of the space that all candidates are of.
        codes: Those that were measured, two or more, in the order in which they were asked for.
        values: What was measured of each, shape (candidates,): finite, of any unit. Give logarithms of what is above
            0 and varies by factors.

    Raises:
        InvalidInputError: If there are too few, or a value is not finite.
    """

    def __init__(self, encoding: Encoding, codes: Codes, values: Array) -> None:
        if len(values) < 2:
            raise invalid("values", "two or more", len(values), "Measure more candidates first.")
        if len(values) != len(codes):
            raise invalid("values", f"as many as candidates ({len(codes)})", len(values), "Give one for each.")
        if not np.isfinite(values).all():
            raise invalid("values", "finite", values.tolist(), "Leave out candidates that failed.")
        self._encoding = encoding
        # The first candidates alone say what is standard and which kernel is likely. Their number grows in steps, so
        # that the kernel is looked for once in a while, and yet follows from the candidates.
        step = _REFIT_EVERY if len(values) >= _REFIT_EVERY else min(_REFIT_EVERY_AT_FIRST, len(values))
        num = min(len(values) // step * step, _MAX_KERNEL_ROWS)
        costs = np.log(encoding.costs(codes))
        self._cost_centre, self._cost_scale = costs[:num].mean(axis=0), costs[:num].std(axis=0) + _LEAST_SCALE
        self._centre, self._scale = float(values[:num].mean()), float(values[:num].std()) or 1.0
        self._rows = self._standardise(codes, costs)
        self._targets = (values - self._centre) / self._scale
        parts = self._rows.choices[:num], self._rows.costs[:num], self._targets[:num]
        self.kernel = _fit_kernel(self._rows.num_choices, num, *(part.tobytes() for part in parts))
        self._rows, self._targets = self._rows.last(_MAX_ROWS), self._targets[-_MAX_ROWS:]
        covariance = self.kernel.covariance(self._rows, self._rows)
        covariance[np.diag_indices_from(covariance)] += self.kernel.noise
        self._lower = np.linalg.cholesky(covariance).astype(np.float64, copy=False)
        self._weights = self._solve(self._targets)

    def predict(self, codes: Codes) -> tuple[Array, Array]:
        """Predict candidates.

        Returns:
            Mean and standard deviation of each, in the values' unit. The deviation says how unsure the prediction is
            and leaves out the noise of measuring; see `noise`.
        """
        rows, across = self._compare_with_known(codes)
        explained = _solve_lower(self._lower, across.T)
        variance = self.kernel.variance(rows) - (explained**2).sum(axis=0)
        return self._centre + self._scale * (across @ self._weights), self._scale * np.sqrt(np.maximum(variance, 0.0))

    def predict_mean(self, codes: Codes) -> Array:
        """Return the means of `predict` alone, which is much faster."""
        _, across = self._compare_with_known(codes)
        return np.asarray(self._centre + self._scale * (across @ self._weights), dtype=np.float64)

    @property
    def noise(self) -> float:
        """Standard deviation of measuring a candidate again, as the fit tells it, in the values' unit."""
        return self._scale * float(np.sqrt(self.kernel.noise))

    def left_out(self) -> tuple[Array, Array]:
        """Predict every candidate that was learned from, from all others (Rasmussen & Williams 2006, section 5.4.2).

        Returns:
            Mean and standard deviation of what its measurement should have shown, noise included.
        """
        precision = np.diag(self._solve(np.eye(len(self._targets))))
        means = self._targets - self._weights / precision
        return self._centre + self._scale * means, self._scale / np.sqrt(precision)

    @property
    def error(self) -> float:
        """Root mean square error of `left_out`, in the values' unit; lower is better."""
        means, _ = self.left_out()
        return float(np.sqrt(np.mean((means - self._centre - self._scale * self._targets) ** 2)))

    def _standardise(self, codes: Codes, log_costs: Array) -> "_Rows":
        costs = (log_costs - self._cost_centre) / self._cost_scale
        return _Rows(self._encoding.one_hot(codes), costs, codes.shape[1])

    def _compare_with_known(self, codes: Codes) -> tuple["_Rows", Array]:
        rows = self._standardise(codes, np.log(self._encoding.costs(codes)))
        return rows, self.kernel.covariance(rows, self._rows)

    def _solve(self, right: Array) -> Array:
        return _solve_lower(self._lower, _solve_lower(self._lower, right), transposed=True)


@lru_cache(maxsize=64)
def _fit_kernel(num_choices: int, num: int, choices: bytes, costs: bytes, targets: bytes) -> Kernel:
    """Maximise the marginal likelihood of targets, from arrays as bytes with `num` rows each, times the prior."""
    from scipy.optimize import minimize  # Half a second that --help and --status should not take.

    rows = _Rows(_array(choices, num), _array(costs, num), num_choices)
    comparison = _compare(rows, rows)
    found = minimize(
        _unlikelihood,
        _START,
        args=(comparison, np.frombuffer(targets)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(start - _REACH, start + _REACH) for start in _START],
        options={"maxiter": 40},
    )
    return Kernel(*np.exp(found.x).tolist())


def _array(data: bytes, num: int) -> Array:
    return np.frombuffer(data).reshape(num, -1)


def _unlikelihood(logs: Array, comparison: tuple[Array, Array, Array], targets: Array) -> tuple[float, Array]:
    """Return minus the logarithm of likelihood times prior, and its gradient (Rasmussen & Williams 2006, eq. 5.9)."""
    differ, distance, product = comparison
    noise, alike, line, choices, costs = np.exp(logs)
    near = alike * np.exp(-choices * differ - costs * distance)
    identity = np.eye(len(targets))
    lower = np.linalg.cholesky(near + line * product + noise * identity)
    half = _solve_lower(lower, identity)
    inverse = half.T @ half
    weights = inverse @ targets
    slopes = inverse - np.outer(weights, weights)
    parts = (noise * identity, near, line * product, -choices * differ * near, -costs * distance * near)
    gradient = np.array([0.5 * np.sum(slopes * part) for part in parts])
    off = (logs - _START) / _PRIOR_SPREAD
    value = 0.5 * targets @ weights + np.log(np.diag(lower)).sum() + 0.5 * off @ off
    return float(value), gradient + off / _PRIOR_SPREAD


def _solve_lower(lower: Array, right: Array, *, transposed: bool = False) -> Array:
    from scipy.linalg import solve_triangular

    found: Array = solve_triangular(lower, right, lower=True, trans=int(transposed), check_finite=False)
    return found
