from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import ArchSpec, InvalidInputError, SearchSpace
from nas.complexity import complexity
from nas.space import Bounds, Params, Skeleton, StageChoices, StagewiseSpace, Value

STAGES = (
    StageChoices(num_layers=(1, 2), out_channels=(8, 16), block=("fused",), expand_ratio=(1, 4), kernel_size=(3,)),
    StageChoices(num_layers=(1, 2, 3), out_channels=(24,)),
)
SKELETON = Skeleton(stem_channels=8, head_channels=32, strides=((1, 1, 2), (1, 2, 2)), train_image_size=32)


def make(**changes: Any) -> StagewiseSpace:
    return StagewiseSpace(**{"name": "small", "stages": STAGES, "skeleton": SKELETON, **changes})


SPACE = make()
every_params = st.fixed_dictionaries({key: st.sampled_from(values) for key, values in SPACE.choices.items()})


def test_choices_of_one_value_are_fixed():
    assert set(SPACE.fixed) == {"s1_block", "s1_kernel_size", "s2_out_channels"}
    assert set(SPACE.choices) == {
        "strides",
        "s1_expand_ratio",
        "s1_num_layers",
        "s1_out_channels",
        "s2_block",
        "s2_expand_ratio",
        "s2_kernel_size",
        "s2_num_layers",
    }
    assert SPACE.num_configurations == 2 * 2 * 2 * 2 * 2 * 3 * 2 * 3


@given(every_params)
def test_encode_inverts_decode(params):
    spec = SPACE.decode(params)
    assert SPACE.encode(spec) == params
    assert SPACE.decode(SPACE.encode(spec)) == spec
    assert SPACE.decode({**SPACE.fixed, **params}) == spec


def test_decode_puts_every_choice_where_it_belongs():
    params = {
        "strides": "1-2-2",
        "s1_expand_ratio": 1,
        "s1_num_layers": 2,
        "s1_out_channels": 16,
        "s2_block": "mbconv",
        "s2_expand_ratio": 6,
        "s2_kernel_size": 5,
        "s2_num_layers": 3,
    }
    spec = SPACE.decode(params)
    first, second = spec.stages
    assert (spec.stem_channels, spec.stem_stride, spec.head_channels, spec.train_image_size) == (8, 1, 32, 32)
    assert (first.block, first.expand_ratio, first.stride, first.out_channels, first.num_layers) == (
        "fused",
        1,
        2,
        16,
        2,
    )
    assert (second.block, second.expand_ratio, second.kernel_size, second.num_layers) == ("mbconv", 6, 5, 3)
    assert (first.se_ratio, second.se_ratio) == (0.0, 0.25)


def test_different_parameters_are_different_networks():
    rng = np.random.default_rng(0)
    drawn = {
        tuple(sorted(params.items())): SPACE.decode(params).arch_id
        for params in (SPACE.sample(rng) for _ in range(400))
    }
    assert len(set(drawn.values())) == len(drawn) > 150


@given(every_params)
def test_neighbours_differ_in_one_choice_and_know_each_other(params):
    neighbours = list(SPACE.neighbours(params))
    assert len(neighbours) == sum(len(values) - 1 for values in SPACE.choices.values())
    for neighbour in neighbours:
        assert sum(neighbour[key] != params[key] for key in params) == 1
        assert params in list(SPACE.neighbours(neighbour))


def bounded() -> StagewiseSpace:
    sizes = sorted(
        complexity(SPACE.decode(SPACE.sample(seed)), num_classes=10, in_channels=3).num_params for seed in range(99)
    )
    return make(bounds=Bounds(min_num_params=sizes[25], max_num_params=sizes[75]))


def test_samples_and_neighbours_lie_inside_the_bounds():
    space = bounded()
    rng = np.random.default_rng(0)
    outside = 0
    for _ in range(100):
        params = space.sample(rng)
        for inside in (params, *space.neighbours(params)):
            cost = complexity(space.decode(inside), num_classes=10, in_channels=3)
            assert space.bounds.min_num_params <= cost.num_params <= space.bounds.max_num_params
        outside += space.excess(SPACE.decode(SPACE.sample(rng))) > 0
    assert outside > 20


def test_bounded_neighbours_are_symmetric():
    space = bounded()
    for seed in range(20):
        params = space.sample(seed)
        assert all(params in list(space.neighbours(neighbour)) for neighbour in space.neighbours(params))


@pytest.mark.parametrize("limit", ["max_num_params", "max_num_macs", "max_num_activations"])
def test_excess_is_the_logarithm_of_the_worst_ratio(limit):
    spec = SPACE.reference
    cost = getattr(complexity(spec, num_classes=10, in_channels=3), limit.removeprefix("max_"))
    assert Bounds(**{limit: 2 * cost}).excess(spec) == pytest.approx(-np.log(2))
    assert Bounds(**{limit: cost}).excess(spec) == 0
    assert Bounds(**{limit: cost // 2}).excess(spec) == pytest.approx(np.log(2), abs=0.01)
    assert Bounds(**{limit: cost // 4}, min_num_params=1).excess(spec) == pytest.approx(np.log(4), abs=0.01)
    assert Bounds().excess(spec) == 0


def test_excess_counts_from_the_lower_bound_too():
    num_params = complexity(SPACE.reference, num_classes=10, in_channels=3).num_params
    assert Bounds(min_num_params=3 * num_params).excess(SPACE.reference) == pytest.approx(np.log(3))
    assert Bounds(min_num_params=num_params // 3).excess(SPACE.reference) < 0


def test_sampling_follows_the_seed():
    draws = [[SPACE.sample(rng) for _ in range(5)] for rng in (np.random.default_rng(s) for s in (1, 1, 2))]
    assert draws[0] == draws[1] != draws[2]
    assert SPACE.sample(7) == SPACE.sample(7)


def test_sampling_is_uniform_over_values_and_gives_plain_types():
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(600)]
    for key, values in SPACE.choices.items():
        counts = [sum(params[key] == value for params in drawn) for value in values]
        assert min(counts) > 0.75 * 600 / len(values)
    assert {type(value) for params in drawn for value in params.values()} == {str, int}


def test_bounds_that_nothing_meets_are_an_error():
    with pytest.raises(InvalidInputError, match="`bounds` must be wide enough"):
        make(bounds=Bounds(max_num_params=1)).sample(0, max_tries=10)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"max_num_params": 0}, "max_num_params"),
        ({"min_num_params": -5}, "min_num_params"),
        ({"min_num_params": 10, "max_num_params": 9}, "min_num_params"),
    ],
)
def test_bounds_are_checked(limits, name):
    with pytest.raises(InvalidInputError, match=f"`{name}` must be"):
        Bounds(**limits)


def test_every_trial_of_a_study_is_asked_the_same_names():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    asked = set()
    for _ in range(30):
        trial = study.ask()
        spec = SPACE.suggest(trial)
        assert SPACE.encode(spec) == trial.params
        asked.add(tuple((name, trial.distributions[name].choices) for name in trial.params))
        study.tell(trial, 0.0)
    assert asked == {tuple(SPACE.choices.items())}


def test_a_fixed_trial_gives_its_network():
    params = SPACE.sample(3)
    assert SPACE.suggest(optuna.trial.FixedTrial(params)) == SPACE.decode(params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s1_num_layers": 9}, r"`s1_num_layers` must be one of \[1, 2\], got 9"),
        ({"s9_block": "fused"}, r"got \['s9_block'\]. Leave them out"),
        ({"s1_kernel_size": 5}, r"`s1_kernel_size` must be one of \[3\], got 5"),
        ({"strides": "2-2-2"}, "`strides` must be one of"),
    ],
)
def test_wrong_parameters_are_refused_everywhere(change, message):
    params = {**SPACE.sample(0), **change}
    for use in (SPACE.check, SPACE.decode, lambda p: list(SPACE.neighbours(p))):
        with pytest.raises(InvalidInputError, match=message):
            use(params)


def test_missing_parameters_are_named():
    with pytest.raises(InvalidInputError, match="Give a value for each"):
        SPACE.decode({"strides": "1-2-2"})


def test_encode_refuses_networks_of_other_spaces():
    spec = SPACE.decode(SPACE.sample(0))
    for other in (
        replace(spec, stages=spec.stages[:1]),
        replace(spec, stem_channels=16),
        replace(spec, stem_stride=2),
        replace(spec, dropout=0.5),
        replace(spec, stages=(replace(spec.stages[0], out_channels=64), spec.stages[1])),
    ):
        with pytest.raises(InvalidInputError):
            SPACE.encode(other)
    assert SPACE.encode(replace(spec, train_image_size=64, name="x")) == SPACE.encode(spec)


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": (StageChoices(num_layers=(0, 1), out_channels=(8,)), STAGES[1])},
        {"stages": (StageChoices(num_layers=(1,), out_channels=(8, 8)), STAGES[1])},
        {"stages": (StageChoices(num_layers=(), out_channels=(8,)), STAGES[1])},
        {"stages": (StageChoices(num_layers=(1,), out_channels=(8,), kernel_size=(3, 4)), STAGES[1])},
        {"skeleton": replace(SKELETON, strides=((1, 1),))},
        {"skeleton": replace(SKELETON, strides=((1, 1, 3),))},
        {"skeleton": replace(SKELETON, head_channels=0)},
        {"references": {"bad": {"strides": "1-1-2"}}},
    ],
)
def test_a_space_that_holds_what_no_network_can_have_is_refused_when_made(changes):
    with pytest.raises(InvalidInputError):
        make(**changes)


def test_references_may_name_fixed_parameters_and_the_first_is_the_reference():
    first, second = SPACE.sample(0), SPACE.sample(1)
    space = make(references={"first": {**SPACE.fixed, **first}, "second": second})
    assert space.references == {"first": first, "second": second}
    assert space.reference == SPACE.decode(first)


def test_repr_says_how_large_it_is():
    assert repr(SPACE) == "StagewiseSpace('small', 8 choices, 576 configurations)"


def test_a_space_of_ones_own_needs_only_decode_and_encode():
    class Widths(SearchSpace):
        def decode(self, params: Params) -> ArchSpec:
            self.check(params)
            return replace(SPACE.reference, head_channels=int(params["head"]))

        def encode(self, spec: ArchSpec) -> dict[str, Value]:
            return {"head": spec.head_channels}

    space = Widths("widths", {"head": (16, 32, 64)})
    assert {space.decode(params).head_channels for params in space.neighbours({"head": 32})} == {16, 64}
    assert space.suggest(optuna.trial.FixedTrial({"head": 64})).head_channels == 64
    assert space.reference.head_channels == 32
