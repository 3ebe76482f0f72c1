import subprocess
import sys

import pytest

from nas.errors import InvalidInputError
from nas.optimization.objectives import PARETO
from nas.optimization.trials import candidates, spec_of
from nas.results import RunFolder, load, write_tables
from tests.synthetic import measured, small_space


def test_loading_a_run(searched):
    run = load(searched.path)
    study = searched.read_study()
    assert run.trials["number"].tolist() == [t.number for t in candidates(study)]
    assert run.manifest == searched.manifest
    assert f"{len(measured(study))} measured" in repr(run)
    for trial in candidates(study):
        assert run.spec(trial.number) == spec_of(trial)


def test_the_front_is_the_studys_and_the_best_has_the_highest_reward_of_all(searched):
    run = load(searched.path)
    optimal = {t.number for t in searched.read_study().best_trials}
    assert {int(n) for n in run.pareto["number"]} & optimal == optimal
    assert run.pareto["reward"].is_monotonic_decreasing
    assert run.best["reward"] == run.trials["reward"].max()


def test_the_family_starts_from_the_best(searched):
    scaling = pytest.importorskip("nas.models.scaling")
    run = load(searched.path)
    best = run.spec(int(run.best["number"]))
    assert run.family() == scaling.scale_family(best)
    assert run.family()["S"].arch_id == best.arch_id


def test_a_run_with_no_trial_has_empty_tables(run_folder):
    run_folder.study(PARETO)
    run = load(run_folder.path)
    assert len(run.trials) == len(run.pareto) == 0
    for use in (lambda: run.best, run.family):
        with pytest.raises(InvalidInputError, match="measured candidate"):
            use()
    write_tables(run_folder, run_folder.read_study(), run_folder.manifest)
    assert run_folder.trials_path.is_file()
    assert not run_folder.arch_path("S").exists()


def test_an_unknown_number_is_an_error(searched):
    with pytest.raises(InvalidInputError, match="number"):
        load(searched.path).spec(10_000)


def test_a_path_that_is_no_run_is_an_error(tmp_path):
    for path in (tmp_path, tmp_path / "missing", str(tmp_path / "missing")):
        with pytest.raises(InvalidInputError):
            load(path)


def test_a_run_can_be_moved_and_loaded_while_a_search_holds_its_lock(searched, tmp_path):
    moved = RunFolder.open(searched.path.rename(tmp_path / "moved"))
    with moved.lock():
        assert len(load(moved.path).trials) > 0


def test_importing_results_and_loading_import_no_torch(searched):
    code = (
        "import sys, nas.results; assert 'pandas' not in sys.modules and 'optuna' not in sys.modules;"
        "run = nas.results.load(sys.argv[1]); run.best; print(run); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(searched.path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "on the front" in done.stdout


def test_the_space_of_these_tests_is_partly_outside_its_bounds():
    space = small_space()
    largest = {name: values[-1] for name, values in space.choices.items()}
    assert space.excess(space.decode(largest)) > 0
