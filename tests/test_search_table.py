"""`python -m nas.search --table`: candidates are looked up."""

import io
import json
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

import nas.results
from nas.config import SearchSettings
from nas.optimization.trials import note_sitting
from nas.results import compare, dominates_reference, importance
from nas.results.report import write_pictures, write_report
from nas.results.status import read_status
from nas.search import describe, main, search
from tests.running import ROOT, everything_in, exit_code, refusal
from tests.tabular import rows, write_table

SPACE = "tests.tabular:space"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "small.csv")


def find(table, out, **changes):
    settings = SearchSettings(space=SPACE, table=table, objective="accuracy-macs", budget=21, workers=0, out=out)
    run, _ = search(replace(settings, **changes), Console(file=io.StringIO()))
    return run


@pytest.fixture(scope="module")
def found(table, tmp_path_factory):
    """A run that has looked up every network."""
    return find(table, tmp_path_factory.mktemp("found") / "run")


def test_the_front_is_that_of_the_table(found):
    best = pd.DataFrame(rows()).assign(accuracy=lambda t: (t["first"] + t["second"]) / 2).drop_duplicates("macs")
    best = best.sort_values("macs")
    best = best[best["accuracy"] > best["accuracy"].cummax().shift(fill_value=0)]
    assert len(found.trials) == 21
    assert len(best) > 3
    assert found.pareto["num_macs"].tolist() == best["macs"].tolist()[::-1]
    assert found.pareto["accuracy"].tolist() == pytest.approx(best["accuracy"].tolist()[::-1])
    assert found.best["accuracy"] == found.trials["accuracy"].max()


def test_what_was_not_measured_is_missing(found):
    trials = pd.read_csv(found.folder.trials_path)
    assert trials[["step_time_s", "relative_step_time", "reward", "device_name", "seed"]].isna().all(axis=None)
    assert found.trials["accuracy_stderr"].to_numpy() == pytest.approx(0.01)
    assert found.noise is not None
    assert found.noise.seed is None, "a table would say the same again"
    assert found.pareto["ties_with_best"].iloc[0]
    assert found.manifest.data == "small.csv"
    assert found.manifest.num_classes == 10


@pytest.mark.slow
def test_workers_find_the_same(table, tmp_path, found):
    assert find(table, tmp_path / "run", workers=2).pareto["arch_id"].tolist() == found.pareto["arch_id"].tolist()


def test_it_resumes_where_it_was(table, tmp_path):
    whole = find(table, tmp_path / "whole", budget=9, sampler="random")
    find(table, tmp_path / "part", budget=4, sampler="random")
    assert exit_code(main, ["--resume", tmp_path / "part", "--budget", 9]) == 0
    resumed = nas.results.load(tmp_path / "part")
    assert resumed.trials["arch_id"].tolist() == whole.trials["arch_id"].tolist()


def test_a_prefilter_passes_over_small_networks(table, tmp_path):
    plain = find(table, tmp_path / "plain", budget=14, sampler="random")
    large = find(table, tmp_path / "large", budget=14, sampler="random", prefilter="macs:0.3")
    late = slice(10, None)  # ten pass unjudged
    assert large.trials["num_macs"][late].mean() > plain.trials["num_macs"][late].mean()


def test_another_table_is_no_resume(table, tmp_path, capsys):
    find(table, tmp_path / "run", budget=2)
    changed = [row | {"first": row["first"] / 2} for row in rows()]
    (tmp_path / "other").mkdir()
    other = write_table(tmp_path / "other" / "small.csv", changed)
    capsys.readouterr()
    line = refusal(main, ["--resume", tmp_path / "run", "--table", other], capsys)
    assert "content of the data set" in line


def test_what_is_printed(table, tmp_path, capsys):
    args = [
        "--space",
        SPACE,
        "--table",
        table,
        "--objective",
        "accuracy-macs",
        "--budget",
        3,
        "--out",
        tmp_path / "run",
    ]
    assert exit_code(main, [*args, "--json"]) == 0
    printed = capsys.readouterr()
    plain = json.loads(printed.out)
    assert plain["measured"] == 3
    assert plain["front"][0]["reward"] is None
    assert "M MACs" in printed.err
    assert "reward" not in printed.err


def test_status(found):
    status = read_status(found.folder.path)
    assert status.best_reward is None
    assert status.best_accuracy == found.best["accuracy"]
    assert f"accuracy {found.best['accuracy']:.4f}" in describe(status)


def test_a_search_that_has_evaluated_every_network_is_finished(table, tmp_path, capsys):
    run = find(table, tmp_path / "run", budget=25)
    status = read_status(run.folder.path)
    assert (status.state, status.exhausted, status.measured, status.budget) == ("finished", True, 21, 25)
    assert "finished (no network of the space is left that was not evaluated)" in describe(status)
    note_sitting(run.folder.read_study(), 25)  # as when it is resumed
    with run.folder.lock():
        status = read_status(run.folder.path)
    assert (status.state, status.exhausted) == ("running", False)
    status = read_status(run.folder.path)
    assert (status.state, status.exhausted) == ("stopped", False)
    assert exit_code(main, ["--resume", run.folder.path]) == 0
    capsys.readouterr()
    assert exit_code(main, ["--status", run.folder.path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["exhausted"]) == ("finished", True)


def test_a_space_that_is_used_up_with_the_budget_is_not_why_it_ended(found):
    assert read_status(found.folder.path).state == "finished"
    assert not read_status(found.folder.path).exhausted


def test_the_report_is_of_the_same_objectives(found, tmp_path):
    write_report(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "chart-front-num_macs" in page
    assert "chart-front-relative_step_time" not in page
    assert "looked up in a table" in page
    names = {path.name for path in write_pictures(found, tmp_path)}
    assert "front_macs.png" in names
    assert "front_step_time.png" not in names


def test_the_tables_for_pandas(found, table, tmp_path):
    few = find(table, tmp_path / "run", budget=5, seed=1)
    both = compare(found, few)
    assert both["hypervolume"][0] >= both["hypervolume"][1] > 0
    assert both["reference_num_macs"].eq(found.trials["num_macs"].max()).all()
    assert both[["best_reward", "accuracy_within_step_time", "reference_relative_step_time"]].isna().all(axis=None)
    assert set(importance(found, "num_macs")["choice"]) == {"width", "kernel", "layers"}
    with pytest.raises(nas.InvalidInputError, match="a reference network was measured"):
        dominates_reference(found)
    assert "<table" in found._repr_html_()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "pareto"}, "`objective` must be one of what a table says, such as accuracy-macs, got 'pareto'"),
        ({"space": "efficientnet_v2_tiny"}, "`space` must be one whose networks stand in a table"),
        ({"table": "nowhere.csv"}, "`table` must be a readable CSV file, got 'nowhere.csv'"),
        ({"data": "cifar10"}, "`table and data` must be given one at a time"),
        ({"fidelity": "100x1"}, "`table and fidelity` must be given one at a time"),
        ({"max-step-time": 2}, "`table and max_step_time` must be given one at a time"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(table, tmp_path, capsys, changes, message):
    settings = {"space": SPACE, "table": table, "objective": "accuracy-macs", "out": tmp_path / "run"} | changes
    line = refusal(main, [word for name, value in settings.items() for word in (f"--{name}", value)], capsys)
    assert message in line
    assert everything_in(tmp_path) == {}


def test_no_torch_is_imported(table, tmp_path):
    code = (
        "import io, sys; from pathlib import Path; from rich.console import Console; "
        "from nas.config import SearchSettings; from nas.search import search; "
        f"search(SearchSettings(space={SPACE!r}, table=Path({str(table)!r}), objective='accuracy-macs', budget=2, "
        f"out=Path({str(tmp_path / 'run')!r})), Console(file=io.StringIO())); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
