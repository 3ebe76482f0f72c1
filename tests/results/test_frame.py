import io

import pandas as pd

from nas.optimization.objectives import PARETO, measurement_reward
from nas.optimization.trials import measurement_of
from nas.results.frame import COLUMN_DTYPES, trials_frame
from tests.synthetic import measured, new_study, run_search, small_space


def searched_study():
    study = new_study(PARETO)
    run_search(study, small_space(), PARETO, "random", 40)
    run_search(study, small_space(max_num_params=20_000), PARETO, "random", 1)
    return study


def test_first_columns_are_those_that_others_rely_on():
    expected = ["number", "state", "arch_id", "accuracy", "accuracy_stderr", "step_time_s", "relative_step_time"]
    expected += ["num_params", "num_macs", "reward", "wall_s", "fail_reason"]
    assert list(COLUMN_DTYPES)[:12] == expected


def test_one_row_per_evaluated_candidate_with_its_measurement():
    study = searched_study()
    repeat = measured(study)[0].params
    study.enqueue_trial(repeat)
    run_search(study, small_space(), PARETO, "random", 1)
    frame = trials_frame(study)
    rows = frame[frame["state"] == "measured"].set_index("number")
    assert list(rows.index) == [t.number for t in measured(study)]
    assert len(study.trials) - 1 not in frame["number"].tolist(), "a repeat has no row"
    for trial in measured(study):
        measurement = measurement_of(trial)
        row = rows.loc[trial.number]
        assert row["accuracy"] == measurement.accuracy
        assert row["num_params"] == measurement.num_params
        assert row["reward"] == measurement_reward(measurement)
        assert {name: row[f"param_{name}"] for name in trial.params} == trial.params
        assert row["started_utc"] <= row["ended_utc"] <= pd.Timestamp.now("UTC")
        assert row["ended_utc"] > pd.Timestamp.now("UTC") - pd.Timedelta(minutes=10)


def test_failed_candidates_have_a_reason_and_no_numbers():
    frame = trials_frame(searched_study())
    failed = frame[frame["state"] == "failed"]
    assert len(failed) > 0
    assert failed["fail_reason"].eq("=out of memory, in a formula").all()
    assert failed[["accuracy", "num_params", "reward", "device"]].isna().all(axis=None)
    assert frame[frame["state"] == "measured"]["fail_reason"].isna().all()


def test_data_types_are_the_same_for_an_empty_study():
    empty, full = trials_frame(new_study(PARETO)), trials_frame(searched_study())
    assert len(empty) == 0
    assert list(empty.columns) == list(COLUMN_DTYPES)
    pd.testing.assert_series_equal(full.dtypes[: len(COLUMN_DTYPES)], empty.dtypes)
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == COLUMN_DTYPES
    assert full.dtypes["param_s1_num_layers"] == "Int64"
    assert full.dtypes["param_s1_block"] == "string"


def test_csv_round_trip():
    frame = trials_frame(searched_study())
    times = ["started_utc", "ended_utc"]
    types = {name: dtype for name, dtype in frame.dtypes.items() if name not in times}
    again = pd.read_csv(io.StringIO(frame.to_csv(index=False)), dtype=types, parse_dates=times)
    pd.testing.assert_frame_equal(again.astype(frame.dtypes), frame)
