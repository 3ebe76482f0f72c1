from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from nas.errors import InvalidInputError
from nas.results import PARETO_OBJECTIVES, compare, hypervolume, pareto_front
from nas.results.comparison import COMPARISON_DTYPES
from tests.results.conftest import describe_run, run_in_memory
from tests.synthetic import measure, small_space


@pytest.fixture(scope="module")
def pair():
    return run_in_memory(60, path=Path("a")), run_in_memory(20, path=Path("b"), seed=1)


def measured(run):
    return run.trials[run.trials["state"] == "measured"]


def test_each_run_has_a_row(pair):
    found = compare(*pair)
    assert found["run"].tolist() == ["a", "b"]
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == COMPARISON_DTYPES
    for run, row in zip(pair, found.to_dict("records"), strict=True):
        assert row["num_candidates"] == len(run.trials) > row["num_measured"] == len(measured(run))
        assert row["best_reward"] == run.best["reward"]
        assert row["best_accuracy"] == run.trials["accuracy"].max()
        assert row["candidates_wall_s"] == 2.25 * row["num_measured"]
        assert 0 < row["elapsed_s"] < 600
    pd.testing.assert_frame_equal(compare(*reversed(pair)), found.iloc[::-1].reset_index(drop=True))


def test_accuracy_within_what_the_others_best_costs(pair):
    found = compare(*pair)
    for index, (run, other) in enumerate((pair, pair[::-1])):
        trials, best = measured(run), other.best
        fast = trials[trials["relative_step_time"] <= best["relative_step_time"]]
        small = trials[trials["num_params"] <= best["num_params"]]
        for column, rows in (("step_time", fast), ("num_params", small)):
            assert found[f"accuracy_within_{column}"][index] == pytest.approx(rows["accuracy"].max(), nan_ok=True)


def test_volumes_have_one_reference_point_which_is_told(pair):
    found = compare(*pair)
    both = pd.concat([measured(run) for run in pair])
    point = {name: found[f"reference_{name}"][0] for name in PARETO_OBJECTIVES}
    assert point == {
        "accuracy": both["accuracy"].min(),
        "relative_step_time": both["relative_step_time"].max(),
        "num_params": both["num_params"].max(),
    }
    for index, run in enumerate(pair):
        assert found["hypervolume"][index] == hypervolume(run.trials, PARETO_OBJECTIVES, point) > 0
        assert {name: found[f"reference_{name}"][index] for name in PARETO_OBJECTIVES} == point
    assert found["num_on_joint_front"].sum() == len(pareto_front(both, PARETO_OBJECTIVES))


def test_a_run_is_as_good_as_itself(pair):
    first, second = compare(pair[0], pair[0]).drop(columns="run").to_dict("records")
    assert first == second


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_fingerprint": "beef"}, "content of the data set: 0123"),
        ({"num_classes": 100}, "number of classes"),
        ({"fidelity": "4000x1"}, "fidelity: 2000x1"),
        ({"step": "batch 512"}, "step that is timed"),
        ({"target_device": "H100"}, "device that step times"),
    ],
)
def test_runs_whose_numbers_do_not_compare_are_refused(pair, changes, message):
    other = run_in_memory(10, manifest=describe_run(small_space(), **changes))
    for runs in ((pair[0], other), (other, pair[0])):
        with pytest.raises(InvalidInputError, match=next(iter(changes))):
            compare(*runs)
    with pytest.raises(InvalidInputError, match=message):
        compare(pair[0], other)


def test_runs_with_different_reference_networks_are_refused(pair):
    manifest = pair[0].manifest
    stages = [dict(stage) for stage in manifest.reference["stages"]]
    stages[0]["num_layers"] += 1
    other = replace(manifest, reference={**manifest.reference, "stages": stages})
    with pytest.raises(InvalidInputError, match="reference network"):
        compare(pair[0], run_in_memory(10, manifest=other))


def test_runs_timed_on_different_devices_are_refused(pair):
    other = run_in_memory(10, measure=lambda *args: replace(measure(*args), device_name="abacus"))
    with pytest.raises(InvalidInputError, match="abacus"):
        compare(pair[0], other)


def test_space_objective_and_name_of_the_data_may_differ(pair):
    manifest = describe_run(small_space(max_num_params=70_000), objective="reward", data="moved/formula", seed=3)
    assert len(compare(pair[0], run_in_memory(20, manifest=manifest))) == 2


def test_a_run_in_which_nothing_was_measured_is_an_error(pair):
    with pytest.raises(InvalidInputError, match="measured candidate"):
        compare(pair[0], run_in_memory(0))
