"""How much a candidate is expected to add to the hypervolume, given what is predicted of it."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def expected_improvement(
    means: Array, stds: Array, costs: Array, front: Array, front_costs: Array, reference: float, reference_costs: Array
) -> Array:
    """Return the expected hypervolume improvement of candidates (Emmerich et al. 2006); higher is better.

    One value is uncertain and normally distributed, up to two costs are known. Without costs it is the expected
    improvement over the best value. Between two neighbouring values of the front the volume is a prism: its base is
    the part of the costs' space that the candidate covers and members of the front above do not.

    Args:
        means: Of the value to maximise, shape (N,).
        stds: Standard deviations, at least 0, shape (N,).
        costs: Lower is better, shape (N, M) with M from 0 to 2.
        front: Values of the front, shape (F,). Members that others dominate change nothing.
        front_costs: Shape (F, M).
        reference: Value that a candidate must be above to count.
        reference_costs: Costs that it must be below, shape (M,).

    Returns:
        Shape (N,), exact, in O(N F) for one cost and O(N F^2) for two.
    """
    counts = (front > reference) & (front_costs < reference_costs).all(axis=1)
    front, front_costs = front[counts], front_costs[counts]
    order = np.argsort(-front, kind="stable")
    levels = np.append(front[order], reference)
    front_costs = front_costs[order]
    above = np.array([_mean_excess(means, stds, level) for level in levels])
    heights = np.diff(above, axis=0, prepend=0.0)
    found = np.zeros(len(means))
    for num_above, height in enumerate(heights):
        found += height * _uncovered(costs, front_costs[:num_above], reference_costs)
    return found


def _mean_excess(means: Array, stds: Array, level: float) -> Array:
    """Return by how much normal values exceed a level on average, shortfalls counted as 0."""
    from scipy.special import ndtr  # Half a second that --help and --status should not take.

    stds = np.maximum(stds, 1e-12)
    z = (means - level) / stds
    found: Array = stds * (np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) + z * ndtr(z))
    return found


def _uncovered(costs: Array, others: Array, reference: Array) -> Array:
    """Return for each row of costs the volume between it and the reference that no row of the others covers."""
    room = np.maximum(reference - costs, 0.0)
    if len(others) == 0:
        return np.asarray(room.prod(axis=1), dtype=np.float64)
    if len(reference) == 0:
        return np.zeros(len(costs))
    if len(reference) == 1:
        gaps: Array = np.maximum(others.min() - costs[:, 0], 0.0)
        return gaps
    corners = others[others[:, 0].argsort(kind="stable")]
    # Between two corners the second cost is covered from the least one so far upwards.
    starts = np.concatenate([[-np.inf], corners[:, 0]])
    ends = np.append(corners[:, 0], reference[0])
    ceilings = np.concatenate([[reference[1]], np.minimum.accumulate(corners[:, 1])])
    widths = np.maximum(ends - np.maximum(starts, costs[:, :1]), 0.0)
    found: Array = (widths * np.maximum(ceilings - costs[:, 1:], 0.0)).sum(axis=1)
    return found
