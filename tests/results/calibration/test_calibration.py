"""From trainings, which follow from a formula, to table, verdict, files and the fidelity of a search."""

import json
import math
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from nas import InvalidInputError
from nas.complexity import complexity
from nas.results.calibration.calibration import load_calibration
from nas.results.calibration.folder import CalibrationFolder
from nas.results.calibration.recommendation import find_recommendation
from nas.results.calibration.table import CALIBRATION_DTYPES, calibration_table
from nas.results.calibration.verdict import judge
from nas.results.calibration.write import COLUMNS, table_rows, write_calibration, write_plot
from nas.results.ranking import expected_tau
from nas.spec import ArchSpec
from tests.results.calibration.making import (
    LONG,
    describe_calibration,
    evaluate,
    make_evaluations,
    write_evaluations,
)
from tests.results.conftest import describe_run
from tests.synthetic import small_space

EVALUATIONS = make_evaluations()


def table_of(evaluations, **changes):
    return calibration_table(evaluations, describe_calibration(**changes))


def row(table, name):
    [found] = [row for _, row in table.iterrows() if row["name"] == name]
    return found


def accuracies(role, fidelity):
    chosen = [each for each in EVALUATIONS if (each.role, each.fidelity) == (role, fidelity)]
    return np.array([each.accuracy for each in chosen]).reshape(2, -1)


@pytest.fixture(scope="module")
def table():
    return table_of(EVALUATIONS)


def test_rows_and_columns(table):
    assert table["name"].tolist() == [
        *("2500x1", "5000x2", LONG, "num_params", "num_macs", "num_activations", "num_blocks")
    ]
    assert {name: str(kind) for name, kind in table.dtypes.items()} == CALIBRATION_DTYPES
    assert table.loc[table["kind"] != "baseline", "num_networks"].tolist() == [20, 20, 20]


def test_tau_is_the_mean_over_single_runs(table):
    truth = accuracies("long", LONG).mean(0)
    for fidelity in ("2500x1", "5000x2"):
        taus = [kendalltau(run, truth).statistic for run in accuracies("proxy", fidelity)]
        found = row(table, fidelity)
        assert found["tau"] == pytest.approx(np.mean(taus))
        assert found["tau_low"] < found["tau"] < found["tau_high"]
        assert found["loss_tau"] == pytest.approx(found["tau"])  # here the loss follows from the accuracy
        best = np.argsort(-truth)[:10]
        tops = [kendalltau(run[best], truth[best]).statistic for run in accuracies("proxy", fidelity)]
        assert found["top_half_tau"] == pytest.approx(np.mean(tops))
        assert found["seed_tau"] == pytest.approx(kendalltau(*accuracies("proxy", fidelity)).statistic)


def test_noise_is_what_it_was_made_with(table):
    assert row(table, "2500x1")["noise"] == pytest.approx(0.05, rel=0.35)
    assert row(table, "5000x2")["noise"] == pytest.approx(0.01, rel=0.35)
    assert row(table, LONG)["spread"] == pytest.approx(0.03, rel=0.35)
    for fidelity in ("2500x1", "5000x2"):  # noise is all that they differ by from the long training
        found = row(table, fidelity)
        assert found["ceiling_low"] - 0.1 < found["tau"] < found["ceiling_high"] + 0.1


def test_the_ceiling_of_a_ranking_without_noise(table):
    long = row(table, LONG)
    ratio = long["ratio"]
    correlation = np.asarray(ratio / math.sqrt(ratio**2 + 1 / 2))
    assert long["ceiling"] == pytest.approx(float(expected_tau(correlation)))
    assert math.isnan(long["tau"])


def test_baselines_rank_by_cost(table):
    truth = accuracies("long", LONG).mean(0)
    specs = [ArchSpec.from_dict(each.arch) for each in EVALUATIONS[:20]]
    macs = [complexity(spec, num_classes=10, in_channels=3).num_macs for spec in specs]
    assert row(table, "num_macs")["tau"] == pytest.approx(kendalltau(macs, truth).statistic)
    assert row(table, "num_blocks")["tau"] == pytest.approx(
        kendalltau([spec.num_blocks for spec in specs], truth).statistic
    )


def test_costs_are_processor_seconds_or_those_of_the_clock(table):
    assert (row(table, "5000x2")["cost_s"], row(table, "5000x2")["relative_cost"]) == (20, pytest.approx(0.05))
    on_a_gpu = table_of(EVALUATIONS, device="cuda:0")
    assert (row(on_a_gpu, "5000x2")["cost_s"], row(on_a_gpu, "5000x2")["relative_cost"]) == (60, pytest.approx(0.05))


@pytest.mark.parametrize("number", [0, 1, 20, 60, 79, 81, 89, 90, 101, 110])
def test_a_table_can_be_made_at_any_time(number):
    table = table_of(EVALUATIONS[:number])
    verdict = judge(table, 0.6)
    enough = number >= 90  # half of the networks have been trained for long
    assert (verdict.words.startswith("Too few")) != enough
    assert row(table, "num_params")["num_networks"] == min(number, 20)
    assert table_rows(table)


def test_networks_whose_second_long_training_is_missing_are_not_shifted():
    """The second seed adds two points to all."""
    partial, whole = table_of(EVALUATIONS[:110]), table_of(EVALUATIONS)
    assert row(partial, "5000x2")["tau"] == pytest.approx(row(whole, "5000x2")["tau"], abs=0.08)
    assert row(partial, LONG)["noise"] == pytest.approx(0.005, rel=0.6)


def test_failed_trainings_are_counted_and_left_out(table):
    spec = ArchSpec.from_dict(EVALUATIONS[0].arch)
    failed = evaluate(0, spec, "proxy", "5000x2", EVALUATIONS[0].seed, None, 0)
    others = [each for each in EVALUATIONS if each.key != failed.key]
    found = row(table_of([*others, failed]), "5000x2")
    assert (found["num_failed"], found["num_networks"]) == (1, 20)
    assert found["tau"] == pytest.approx(row(table, "5000x2")["tau"], abs=0.08)


def test_the_cheapest_fidelity_that_ranks_well_is_recommended(table):
    verdict = judge(table, 0.6)
    assert verdict.fidelity == "5000x2"
    assert verdict.words.startswith(
        "Search with 5000x2: it ranks these networks much as the long training does, tau 0."
    )
    assert "at 5.0% of its cost" in verdict.words
    assert judge(table, 0.05).fidelity == "2500x1"


def test_a_fidelity_within_the_interval_of_the_ceiling_is_recommended(table):
    """Also where it is asked for a tau that the long training's noise hides."""
    good = table.copy()
    good.loc[good["kind"] == "long", ["ceiling", "ceiling_low", "ceiling_high"]] = 0.95, 0.7, 0.99
    good.loc[good["name"] == "5000x2", "tau"] = 0.75
    assert judge(good, 0.9).fidelity == "5000x2"
    good.loc[good["kind"] == "long", ["ceiling", "ceiling_low", "ceiling_high"]] = 0.3, -0.1, 0.5
    hopeless = judge(good, 0.9)
    assert hopeless.fidelity is None
    assert "no ranking can be expected to show more than tau 0.30 (-0.10 to 0.50)" in hopeless.words


def test_a_proxy_that_sees_noise_alone_is_told_so():
    table = table_of(make_evaluations(levels={"100x1": (0.2, 1.0)}))
    verdict = judge(table, 0.6)
    assert verdict.fidelity is None
    assert verdict.words.startswith("This proxy cannot tell these networks apart: spread ")
    assert "Train longer or use more validation images. No fidelity reaches tau 0.6; the best is 100x1" in verdict.words


def test_a_proxy_that_prefers_other_networks_is_told_so():
    turned = [
        replace(each, accuracy=1 - each.accuracy) if each.role == "proxy" else each
        for each in make_evaluations(levels={"5000x2": (0.005, 20.0)})
    ]
    words = judge(table_of(turned), 0.6).words
    assert "brief training prefers other networks than long training does" in words


def test_a_long_training_with_one_seed_has_no_ceiling():
    table = table_of(make_evaluations(long_seeds=1))
    assert math.isnan(row(table, LONG)["ceiling"])
    verdict = judge(table, 0.6)
    assert verdict.fidelity == "5000x2"
    assert "is not known: it has a single seed" in verdict.words


def test_a_baseline_that_does_as_well_is_named(table):
    better = table.copy()
    better.loc[better["name"] == "num_params", "tau"] = 0.99
    assert "But num_params alone ranks them as well without any training, tau 0.99" in judge(better, 0.6).words


@pytest.fixture(scope="module")
def written_once(tmp_path_factory):
    folder = write_evaluations(tmp_path_factory.mktemp("written") / "cal", EVALUATIONS)
    calibration = load_calibration(folder.path, 0.6)
    write_calibration(calibration)
    assert write_plot(calibration)
    return folder.path


@pytest.fixture
def written(written_once, tmp_path):
    return CalibrationFolder.open(shutil.copytree(written_once, tmp_path / "cal"))


def test_the_files(written, table):
    read = pd.read_csv(written.csv_path).astype(CALIBRATION_DTYPES)
    pd.testing.assert_frame_equal(read, table)
    plain = json.loads(written.json_path.read_text())
    assert plain["recommendation"]["name"] == "5000x2"
    assert plain["recommendation"]["noise"] == row(table, "5000x2")["noise"]
    assert [each["name"] for each in plain["fidelities"]] == ["2500x1", "5000x2"]
    assert plain["long"]["tau"] is None
    assert (plain["num_trainings"], plain["num_failed"]) == (120, 0)
    summary = written.summary_path.read_text()
    assert plain["verdict"] in summary
    assert f"| {' | '.join(COLUMNS)} |" in summary
    assert written.plot_path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_no_plot(written, monkeypatch):
    written.plot_path.unlink()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else sys.modules[name])
    assert not write_plot(load_calibration(written.path, 0.6))
    assert not written.plot_path.exists()


def describe_search(**changes):
    settings = {"val_images": None, "seed": 0} | changes.pop("settings", {})
    return describe_run(small_space(), **({"fidelity": "5000x2", "settings": settings} | changes))


def test_a_search_takes_the_recommendation_and_notes_it(written, table):
    assert find_recommendation("5000x2") is None
    found = find_recommendation(f"from:{written.path}")
    assert found.fidelity == "5000x2"
    noted = found.note(describe_search())
    assert noted.calibration["folder"] == str(written.path)
    assert noted.calibration["fidelity"] == "5000x2"
    assert noted.calibration["noise"] == row(table, "5000x2")["noise"]
    assert type(noted).from_json(noted.to_json()) == noted
    # Another seed splits the same data otherwise.
    found.note(describe_search(settings={"seed": 1}, data_fingerprint="4567"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_fingerprint": "4567"}, "`data_fingerprint` must be as in the calibration.*content of the data set"),
        ({"data_fingerprint": "4567", "data": "other"}, "`data` must be as in the calibration"),
        ({"data_fingerprint": "4567", "settings": {"val_images": 9}}, "`val_images` must be as in the calibration"),
        ({"data_fingerprint": "4567", "settings": {"seed": 1}, "num_classes": 3}, "`num_classes` must be as"),
    ],
)
def test_a_search_on_other_data_is_refused(written, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        find_recommendation(f"from:{written.path}").note(describe_search(**changes))


def test_a_search_of_another_space_is_refused(written):
    other = describe_run(small_space(max_num_params=70_000), settings={"val_images": None, "seed": 0})
    with pytest.raises(InvalidInputError, match="`space_fingerprint` must be as in the calibration"):
        find_recommendation(f"from:{written.path}").note(other)


def test_what_recommends_nothing_is_refused(written, tmp_path):
    with pytest.raises(InvalidInputError, match=r"must be a folder with a manifest\.json"):
        find_recommendation(f"from:{tmp_path / 'none'}")
    write_calibration(load_calibration(written.path, 1.0))
    with pytest.raises(
        InvalidInputError, match=r"a calibration that recommends one.*It says: No fidelity reaches tau 1"
    ):
        find_recommendation(f"from:{written.path}")
    written.json_path.write_text("{}")
    with pytest.raises(InvalidInputError, match=r"of kind 'nas\.calibration-result/1'"):
        find_recommendation(f"from:{written.path}")
    written.json_path.unlink()
    with pytest.raises(InvalidInputError, match=r"readable calibration\.json.*nas\.calibrate --report"):
        find_recommendation(f"from:{written.path}")


def test_manifests_that_do_not_fit_are_refused(tmp_path):
    known = describe_calibration()
    known.check_compatible(describe_calibration(settings=known.settings | {"repeats": 5}))
    for changes, message in (
        ({"data_fingerprint": "4567"}, "`data_fingerprint` must be as in the calibration that is resumed"),
        ({"long": "100x1"}, "`long` must be"),
        ({"device": "cuda:0"}, "`device_kind` must be"),
        ({"settings": known.settings | {"networks": 21}}, "`networks` must be.*Other networks would be chosen"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            known.check_compatible(describe_calibration(**changes))
    path = tmp_path / "manifest.json"
    path.write_text(describe_run(small_space()).to_json())
    with pytest.raises(InvalidInputError, match="The folder is no calibration"):
        type(known).load(path)
    path.write_text(known.to_json().replace('"device"', '"devise"'))
    with pytest.raises(InvalidInputError, match="manifest keys"):
        type(known).load(path)
