import shutil

import pandas as pd
import pytest

from nas.errors import InvalidInputError
from nas.results import Runs, load, load_all
from nas.results.architectures import ARCHITECTURE_DTYPES
from nas.results.frame import COLUMN_DTYPES
from tests.results.conftest import run_in_memory


@pytest.fixture
def paths(searched):
    return [searched.path, shutil.copytree(searched.path, searched.path.parent / "deeper" / "other")]


def test_tables_lie_one_below_the_other(paths):
    runs = load_all(paths)
    assert list(runs) == ["run", "other"]
    single = load(paths[0])
    for name, dtypes in (("trials", COLUMN_DTYPES), ("pareto", COLUMN_DTYPES), ("architectures", ARCHITECTURE_DTYPES)):
        whole = getattr(runs, name)
        assert whole.columns[0] == "run"
        assert whole.index.is_unique
        assert whole["run"].unique().tolist() == ["run", "other"]
        assert {column: str(whole[column].dtype) for column in dtypes} == dtypes
        for run in runs:
            mine = whole[whole["run"] == run].drop(columns="run").reset_index(drop=True)
            pd.testing.assert_frame_equal(mine, getattr(single, name).reset_index(drop=True))
    assert repr(runs) == "Runs(run, other)"


def test_folders_of_one_name_are_told_apart_by_their_path(searched, tmp_path):
    same = shutil.copytree(searched.path, tmp_path / "elsewhere" / searched.path.name)
    assert list(load_all([searched.path, same])) == [str(searched.path), str(same)]


def test_runs_of_different_spaces_have_missing_choices():
    first, second = run_in_memory(5), run_in_memory(6)
    second.trials = second.trials.drop(columns="param_s1_block")
    trials = Runs({"a": first, "b": second}).trials
    assert trials.groupby("run")["param_s1_block"].count().tolist() == [len(first.trials), 0]


def test_what_is_no_list_of_different_runs_is_an_error(searched, tmp_path):
    for paths, message in (
        ([], "one or more"),
        (str(searched.path), "Use load"),
        (searched.path, "Use load"),
        ([searched.path, searched.path], "Give each once"),
        ([searched.path, tmp_path], "no run"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            load_all(paths)
