from dataclasses import replace

import numpy as np
import optuna
import pytest

from nas import ArchSpec, StageSpec
from nas.complexity import complexity
from nas.models.scaling import scale_family
from search_spaces.efficientnet_v2 import BACKBONE, space, space_fixed_width

SPACES = [space, space_fixed_width]


def test_the_sizes_of_the_spaces():
    assert space_fixed_width.num_configurations == 36**6
    assert space.num_configurations == 36**6 * 3**6


@pytest.mark.parametrize("each", SPACES, ids=lambda each: each.name)
def test_the_choices_are_the_papers(each):
    for index in range(1, 7):
        assert set(each.choices[f"s{index}_block"]) == {"mbconv", "fused"}
        assert each.choices[f"s{index}_kernel_size"] == (3, 5)
        assert each.choices[f"s{index}_expand_ratio"] == (1, 4, 6)
        layers = BACKBONE[index - 1][-1]
        assert each.choices[f"s{index}_num_layers"] == (layers - 1, layers, layers + 1)
    assert each.fixed["strides"] == "2-1-2-2-2-1-2"


def test_widths_surround_the_backbones():
    assert [space.choices[f"s{index}_out_channels"] for index in range(1, 7)] == [
        (16, 24, 32),
        (24, 32, 40),
        (40, 56, 72),
        (88, 112, 144),
        (120, 160, 200),
        (208, 272, 344),
    ]
    assert [space_fixed_width.fixed[f"s{index}_out_channels"] for index in range(1, 7)] == [24, 32, 56, 112, 160, 272]


def test_the_backbone_with_its_last_stage_is_efficientnet_b4():
    backbone = space.decode(space.references["efficientnet_b4_like"])
    b4 = replace(backbone, stages=(*backbone.stages, StageSpec("mbconv", 6, 3, 1, 448, 2, se_ratio=0.25)))
    cost = complexity(b4, num_classes=1000, in_channels=3, image_size=380)
    assert cost.num_params == 19_341_616
    assert cost.num_macs / 1e9 == pytest.approx(4.394, abs=0.001)


@pytest.mark.parametrize("each", SPACES, ids=lambda each: each.name)
def test_the_references(each):
    assert list(each.references) == ["efficientnet_v2_s_like", "efficientnet_b4_like"]
    s_like, b4_like = (each.decode(params) for params in each.references.values())
    assert [stage.block for stage in s_like.stages] == ["fused"] * 3 + ["mbconv"] * 3
    assert {stage.kernel_size for stage in s_like.stages} == {3}
    assert {stage.block for stage in b4_like.stages} == {"mbconv"}
    assert each.reference == s_like
    assert (s_like.train_image_size, s_like.eval_image_size) == (300, 384)
    for spec, params in zip((s_like, b4_like), each.references.values(), strict=True):
        assert each.encode(spec) == params


@pytest.mark.parametrize("each", SPACES, ids=lambda each: each.name)
def test_every_trial_is_asked_the_same_names(each):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        trial = study.ask()
        assert each.encode(each.suggest(trial)) == trial.params
        assert list(trial.params) == list(each.choices)


def test_networks_differ_widely_in_cost_and_scale_to_a_family():
    rng = np.random.default_rng(0)
    specs: list[ArchSpec] = [space.decode(space.sample(rng)) for _ in range(50)]
    num_params = [complexity(spec, num_classes=1000, in_channels=3).num_params for spec in specs]
    assert max(num_params) > 5 * min(num_params)
    for spec in specs[:10]:
        family = scale_family(spec)
        assert [len(each.stages) for each in family.values()] == [6, 7, 7]
        assert family["L"].eval_image_size == 480
