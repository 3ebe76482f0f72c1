from dataclasses import replace

import numpy as np
import pytest

from nas.optimization.encoding import encoding_of
from nas.optimization.forecast import Forecast, Past
from nas.optimization.objectives import PARETO
from tests.synthetic import small_space


@pytest.fixture
def study():
    """What a study says of twelve networks, and three others to judge."""
    space = small_space()
    encoding = encoding_of(space)
    rng = np.random.default_rng(0)
    codes = encoding.codes([space.sample(rng) for _ in range(15)])
    known = codes[:12]
    values = np.column_stack([rng.uniform(0.3, 0.7, 12), rng.uniform(0.5, 2.0, 12), encoding.costs(known)[:, 0]])
    past = Past(known, values, known[:0], known, np.ones(12, dtype=bool), known, frozenset())
    return encoding, past, codes[12:]


def improvement(encoding, past, codes, step_times):
    values = past.values.copy()
    values[:, 1] = step_times
    return Forecast(encoding, PARETO, replace(past, values=values)).improvement(codes)


def test_costs_count_by_their_ratios(study):
    encoding, past, codes = study
    step_times = past.values[:, 1]
    plain = improvement(encoding, past, codes, step_times)
    assert plain.max() > 0
    # Another unit changes nothing; ratios twice as large, on a scale of logarithms, make all volumes twice as large.
    assert improvement(encoding, past, codes, 1000 * step_times) == pytest.approx(plain, rel=1e-3)
    assert improvement(encoding, past, codes, step_times**2) == pytest.approx(2 * plain, rel=1e-3)
