import importlib.util
from dataclasses import replace

import pytest

from nas.errors import InvalidInputError
from nas.optimization.objectives import PARETO
from nas.results import importance
from nas.results.importances import MIN_CANDIDATES, TARGETS
from tests.results.conftest import run_in_memory
from tests.synthetic import measure, measured, new_study, run_search, small_space


def fused_is_better(spec, reference):
    """Accuracy depends on the block of stage 2 alone."""
    gain = 0.4 if spec.stages[1].block == "fused" else 0.0
    return replace(measure(spec, reference), accuracy=0.3 + gain + int(spec.arch_id, 16) % 100 * 1e-4)


@pytest.fixture(scope="module")
def run():
    return run_in_memory(120, measure=fused_is_better)


@pytest.mark.parametrize("target", TARGETS)
def test_every_choice_has_a_share(run, target):
    found = importance(run, target)
    assert found.dtypes.astype(str).to_dict() == {"choice": "string", "importance": "float64"}
    assert sorted(f"param_{name}" for name in found["choice"]) == sorted(run.trials.filter(like="param_").columns)
    assert found["importance"].sum() == pytest.approx(1)
    assert found["importance"].ge(0).all()
    assert found["importance"].is_monotonic_decreasing


def test_the_choice_that_decides_comes_first(run):
    assert importance(run).iloc[0]["choice"] == "s2_block"
    assert importance(run).iloc[0]["importance"] > 0.25
    assert importance(run, "num_params").iloc[0]["choice"] != "s2_block"


def test_failed_and_free_trials_do_not_count():
    space = small_space()
    study, clean = new_study(PARETO), new_study(PARETO)
    run_search(study, space, PARETO, "random", 40)
    study.enqueue_trial(measured(study)[0].params)
    study.enqueue_trial({name: values[-1] for name, values in space.choices.items()})
    run = run_in_memory(2, study=study)
    assert len(study.trials) == len(run.candidates) + 2, "a repeat and one outside the bounds"
    assert (run.trials["state"] == "failed").any()
    clean.add_trials(measured(study))
    assert importance(run).equals(importance(run_in_memory(0, study=clean)))


def test_nothing_is_said_on_the_way(run, capfd):
    importance(run)
    assert capfd.readouterr().err == ""


def test_by_variance_where_scikit_learn_is_installed(run):
    if importlib.util.find_spec("sklearn") is None:
        with pytest.raises(InvalidInputError, match="pip install scikit-learn"):
            importance(run, method="fanova")
        return
    found = importance(run, method="fanova", seed=3)
    assert found.iloc[0]["choice"] == "s2_block"
    assert found["importance"].sum() == pytest.approx(1)
    assert importance(run, method="fanova", seed=3).equals(found)


def test_too_few_candidates_are_an_error():
    with pytest.raises(InvalidInputError, match=f"at least {MIN_CANDIDATES} measured"):
        importance(run_in_memory(MIN_CANDIDATES - 1))
    with pytest.raises(InvalidInputError, match="got 0"):
        importance(run_in_memory(0))


def test_a_target_that_never_changes_is_an_error():
    constant = run_in_memory(60, measure=lambda *args: replace(measure(*args), accuracy=0.5))
    with pytest.raises(InvalidInputError, match="differs between candidates"):
        importance(constant)
    assert len(importance(constant, "num_params"))


@pytest.mark.parametrize(
    ("wrong", "message"), [({"target": "acuracy"}, "'accuracy'"), ({"method": "fanva"}, "'fanova'")]
)
def test_unknown_words_are_errors(run, wrong, message):
    with pytest.raises(InvalidInputError, match=f"Did you mean {message}"):
        importance(run, **wrong)
