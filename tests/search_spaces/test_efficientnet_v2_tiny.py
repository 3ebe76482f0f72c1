import numpy as np
import optuna
import pytest

from nas.complexity import complexity
from nas.models.scaling import scale_family
from search_spaces.efficientnet_v2_tiny import space

PATTERNS = space.choices["strides"]


@pytest.fixture(scope="module")
def sampled():
    rng = np.random.default_rng(0)
    return [space.decode(space.sample(rng)) for _ in range(200)]


@pytest.fixture(scope="module")
def costs(sampled):
    return [complexity(spec, num_classes=10, in_channels=1) for spec in sampled]


@pytest.mark.parametrize("name", space.references)
def test_references_are_inside_the_bounds_and_in_the_space(name):
    spec = space.decode(space.references[name])
    assert space.excess(spec) <= 0
    assert space.encode(spec) == space.references[name]


def test_the_first_reference_has_efficientnet_v2s_proportions():
    assert next(iter(space.references)) == "efficientnet_v2_like"
    assert [stage.block for stage in space.reference.stages] == ["fused", "fused", "mbconv", "mbconv"]
    assert {stage.kernel_size for stage in space.reference.stages} == {3}
    assert space.reference.stages[0].expand_ratio == 1


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_last_feature_map_is_at_least_4_by_4_at_32_pixels(pattern):
    spec = space.decode({**space.references["efficientnet_v2_like"], "strides": pattern})
    assert spec.train_image_size == 32
    assert 32 // spec.total_stride >= 4


def test_every_place_to_downsample_is_found_among_samples(sampled):
    found = {"-".join(map(str, (spec.stem_stride, *(stage.stride for stage in spec.stages)))) for spec in sampled}
    assert found == set(PATTERNS)


def test_choices_are_those_of_the_paper():
    for index in range(1, 5):
        assert set(space.choices[f"s{index}_block"]) == {"mbconv", "fused"}
        assert space.choices[f"s{index}_kernel_size"] == (3, 5)
        assert space.choices[f"s{index}_expand_ratio"] == (1, 4, 6)
    assert space.num_configurations > 5e8


def test_networks_are_small(costs):
    assert all(50_000 <= cost.num_params <= 2_000_000 for cost in costs)


@pytest.mark.parametrize(("what", "factor"), [("num_params", 4), ("num_macs", 2.5), ("num_activations", 1.6)])
def test_networks_differ_widely_in_cost(costs, what, factor):
    low, high = np.quantile([getattr(cost, what) for cost in costs], [0.1, 0.9])
    assert high >= factor * low


def test_networks_differ_widely_in_depth_and_width(sampled):
    depths = [spec.num_blocks for spec in sampled]
    assert np.quantile(depths, 0.9) >= 1.5 * np.quantile(depths, 0.1)
    assert {spec.stages[-1].out_channels for spec in sampled} == {24, 64, 160}


def test_every_trial_is_asked_the_same_names():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(10):
        trial = study.ask()
        assert space.encode(space.suggest(trial)) == trial.params
        assert list(trial.params) == list(space.choices)


def test_samples_scale_to_families(sampled):
    for spec in sampled[:10]:
        small, medium, large = (
            complexity(each, num_classes=10, in_channels=1).num_params for each in scale_family(spec).values()
        )
        assert small < medium < large
