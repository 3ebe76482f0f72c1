import pytest

from nas.errors import InvalidInputError
from nas.optimization.objectives import OBJECTIVES, PARETO, REWARD, get_objective, measurement_reward, reward
from tests.synthetic import measure, small_space

# EfficientNetV2 paper, Table 3: top-1, parameters in millions, images/s on a TPUv3 core and on a V100.
NO_FUSED = (0.828, 19.3, 262, 155)
FUSED = {"stages 1-3": (0.831, 20.0, 362, 216), "stages 1-5": (0.831, 43.4, 327, 223), "all": (0.817, 132.0, 254, 206)}


def ratio(variant, column):
    """A step takes longer by as much as fewer images pass per second."""
    step_time, params = NO_FUSED[column] / variant[column], variant[1] / NO_FUSED[1]
    return reward(variant[0], step_time, params) / reward(NO_FUSED[0], 1.0, 1.0)


@pytest.mark.parametrize(
    ("variant", "on_tpu", "on_v100"),
    [("stages 1-3", 1.025, 1.025), ("stages 1-5", 0.979, 0.989), ("all", 0.894, 0.914)],
)
def test_reward_reproduces_the_ratios_of_the_papers_table_3(variant, on_tpu, on_v100):
    assert ratio(FUSED[variant], 2) == pytest.approx(on_tpu, abs=5e-4)
    assert ratio(FUSED[variant], 3) == pytest.approx(on_v100, abs=5e-4)


def test_the_reference_scales_every_reward_alike():
    other = [reward(0.8, 2 * s, 3 * p) / reward(0.8, s, p) for s, p in ((1.0, 1.0), (0.5, 7.0), (9.0, 0.1))]
    assert other == pytest.approx([2**-0.07 * 3**-0.05] * 3)


def test_values_follow_the_metrics():
    space = small_space()
    measurement = measure(space.reference, space.reference)
    assert PARETO.values(measurement) == [
        measurement.accuracy,
        measurement.relative_step_time,
        float(measurement.num_params),
    ]
    assert REWARD.values(measurement) == [measurement_reward(measurement)]
    assert measurement_reward(measurement) == pytest.approx(measurement.accuracy)


def test_objectives_by_name():
    assert all(get_objective(name).name == name for name in OBJECTIVES)
    with pytest.raises(InvalidInputError, match="Did you mean 'pareto'"):
        get_objective("parero")
