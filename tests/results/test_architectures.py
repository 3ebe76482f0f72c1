from dataclasses import replace

import pandas as pd

from nas.complexity import complexity
from nas.optimization.objectives import PARETO
from nas.results.architectures import ARCHITECTURE_DTYPES
from tests.results.conftest import run_in_memory
from tests.synthetic import measure, new_study


def test_each_candidate_has_its_stem_its_stages_and_its_head():
    run = run_in_memory(30)
    found = run.architectures
    assert found["number"].drop_duplicates().tolist() == run.trials["number"].tolist()
    assert run.trials["state"].nunique() == 2, "some failed, and have rows too"
    for number, rows in found.groupby("number"):
        spec = run.spec(number)
        assert rows["stage"].tolist() == list(range(len(spec.stages) + 2))
        assert rows["arch_id"].unique().tolist() == [spec.arch_id]
        assert rows["block"].tolist() == ["stem", *(stage.block for stage in spec.stages), "head"]
        assert rows["out_channels"].tolist() == [8, *(stage.out_channels for stage in spec.stages), 64]
        assert rows["in_channels"].tolist() == [3, *rows["out_channels"].iloc[:-1]]
        assert rows["in_size"].tolist() == [16, *rows["out_size"].iloc[:-1]]
        assert rows["out_size"].tolist() == [16, 16, 8, 4, 4]
        inner = rows[rows["block"].isin(["mbconv", "fused"])]
        for name in ("expand_ratio", "kernel_size", "stride", "num_layers", "se_ratio"):
            assert inner[name].tolist() == [getattr(stage, name) for stage in spec.stages]
        assert rows[["expand_ratio", "se_ratio"]].iloc[[0, -1]].isna().all(axis=None)


def test_the_costs_of_stages_add_up_to_the_candidates():
    run = run_in_memory(30)
    sums = run.architectures.groupby("number")[["num_params", "num_macs"]].sum()
    for row in run.trials.to_dict("records"):
        cost = complexity(run.spec(row["number"]), num_classes=10, in_channels=3)
        assert sums.loc[row["number"]].tolist() == [cost.num_params, cost.num_macs]
        if row["state"] == "measured":
            assert sums.loc[row["number"]].tolist() == [row["num_params"], row["num_macs"]]


def test_sizes_are_those_of_the_images_that_steps_were_timed_with():
    run = run_in_memory(30, measure=lambda *args: replace(measure(*args), step_image_size=24))
    found = run.architectures.merge(run.trials[["number", "state"]], on="number")
    sizes = found[found["stage"] == 0].groupby("state")["in_size"].unique()
    assert sizes["measured"].tolist() == [24]
    assert sizes["failed"].tolist() == [16], "as the network says"
    spec = run.spec(int(run.best["number"]))
    macs = run.architectures.groupby("number")["num_macs"].sum()[run.best["number"]]
    assert macs == complexity(spec, num_classes=10, in_channels=3, image_size=24).num_macs


def test_data_types_are_the_same_for_an_empty_study():
    empty = run_in_memory(0, study=new_study(PARETO)).architectures
    assert len(empty) == 0
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == ARCHITECTURE_DTYPES
    pd.testing.assert_series_equal(run_in_memory(5).architectures.dtypes, empty.dtypes)
