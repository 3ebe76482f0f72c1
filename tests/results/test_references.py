import pytest

from nas.errors import InvalidInputError
from nas.optimization.objectives import PARETO
from nas.optimization.trials import ORIGIN
from nas.results import dominates_reference
from nas.results.references import REFERENCE_DTYPES
from tests.results.conftest import run_in_memory
from tests.synthetic import new_study, small_space


def run_from(num_asks, **starts):
    """A run that began from some parameters, by name."""
    study = new_study(PARETO)
    for name, params in starts.items():
        study.enqueue_trial(params, user_attrs={ORIGIN: name})
    return run_in_memory(num_asks, study=study)


def start(**changes):
    """Parameters of a network like the space's reference, which itself is outside the bounds."""
    return {**small_space().references["reference"], "s3_num_layers": 1, "s3_out_channels": 32, **changes}


def test_who_dominates_a_reference_network_and_by_how_much():
    run = run_from(150, plain=start(), wide=start(s3_kernel_size=5), failed=start(s1_kernel_size=5))
    found = dominates_reference(run)
    trials = run.trials.set_index("number")
    assert set(found["reference"]) == {"plain", "wide"}
    for name in ("plain", "wide"):
        mine = trials[trials["origin"] == name].iloc[0]
        expected = trials[
            (trials["accuracy"] >= mine["accuracy"])
            & (trials["relative_step_time"] <= mine["relative_step_time"])
            & (trials["num_params"] <= mine["num_params"])
            & (trials["arch_id"] != mine["arch_id"])
        ]
        rows = found[found["reference"] == name]
        assert sorted(rows["number"]) == sorted(expected.index)
        assert rows["accuracy_gain"].is_monotonic_decreasing
        for row in rows.to_dict("records"):
            other = trials.loc[row["number"]]
            assert row["arch_id"] == other["arch_id"]
            assert row["accuracy_gain"] == pytest.approx(other["accuracy"] - mine["accuracy"])
            assert row["accuracy_gain_stderr"] ** 2 == pytest.approx(
                other["accuracy_stderr"] ** 2 + mine["accuracy_stderr"] ** 2
            )
            assert mine["num_params"] * (1 - row["num_params_saving"]) == pytest.approx(other["num_params"])
            assert mine["relative_step_time"] * (1 - row["step_time_saving"]) == pytest.approx(
                other["relative_step_time"]
            )


def test_columns_stay_where_nothing_dominates():
    found = dominates_reference(run_from(1, plain=start(s3_kernel_size=5)))
    assert found.empty
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == REFERENCE_DTYPES


def test_a_run_without_a_measured_reference_network_is_an_error():
    for run in (run_in_memory(0), run_in_memory(10)):
        with pytest.raises(InvalidInputError, match="--no-warm-start"):
            dominates_reference(run)
