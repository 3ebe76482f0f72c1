"""What holds of every rule."""

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from nas import InvalidInputError
from nas.optimization.objectives import OBJECTIVES
from nas.optimization.stopping import STOPPING_NAMES, make_stopping, parse_rungs
from tests.optimization.stopping.making import SHARES, at_rung, candidates, rung, stopped

BEST = {"relative_step_time": 0.01, "relative_params": 0.01, "num_params": 10}
WORST = {"relative_step_time": 100.0, "relative_params": 100.0, "num_params": 10**8}


@pytest.fixture(params=STOPPING_NAMES)
def name(request):
    return request.param


@pytest.fixture(params=OBJECTIVES.values(), ids=OBJECTIVES)
def stopping(request, name):
    return make_stopping(name, objective=request.param, rungs="1/8,1/4,1/2")


def with_accuracies(measurement, accuracies, **costs):
    return replace(measurement, rungs=tuple(map(rung, SHARES, accuracies)), **costs)


def test_a_rule_goes_to_a_worker_as_it_is(stopping):
    rule = stopping.rule(candidates(31))
    assert rule.rungs == SHARES
    assert pickle.loads(pickle.dumps(rule)) == rule


def test_a_rule_does_without_validations_where_it_asks_for_none(stopping):
    found = candidates(31)
    lean = [replace(m, rungs=tuple(replace(r, accuracy=None, val_loss=None) for r in m.rungs)) for m in found]
    rule = stopping.rule(found)
    if not rule.validates:
        assert stopping.rule(lean) == rule
        assert [rule.stops(at_rung(m, 1)) for m in lean] == [rule.stops(at_rung(m, 1)) for m in found]


def test_equal_records_make_equal_rules(stopping):
    assert stopping.rule(candidates(31)) == stopping.rule(candidates(31))


def test_nothing_is_stopped_while_nothing_is_known(stopping):
    rule, hopeless = stopping.rule([]), with_accuracies(candidates(1)[0], (0, 0, 0), **WORST)
    assert not any(rule.stops(at_rung(hopeless, index)) for index in range(3))
    assert rule.predict(at_rung(hopeless, 0)) is None


def test_the_best_is_never_stopped(stopping):
    rule = stopping.rule(candidates(31))
    best = with_accuracies(candidates(1)[0], (0.5, 0.6, 0.7), **BEST)
    assert not any(rule.stops(at_rung(best, index)) for index in range(3))


def test_the_hopeless_is_stopped_where_anything_is(stopping, name):
    rule = stopping.rule(candidates(31))
    hopeless = with_accuracies(candidates(1)[0], (0.0, 0.0, 0.0), **WORST)
    assert rule.stops(at_rung(hopeless, 2)) is (name != "none")


def test_stopped_candidates_are_part_of_the_record(stopping):
    found = candidates(60)
    known = [*found[:30], *(stopped(measurement, 0) for measurement in found[30:])]
    rule = stopping.rule(known)
    assert rule.rungs == SHARES
    assert not rule.stops(at_rung(with_accuracies(found[0], (0.5, 0.6, 0.7), **BEST), 2))


def test_records_of_other_rungs_are_passed_over(name):
    for objective in OBJECTIVES.values():
        rule = make_stopping(name, objective=objective, rungs="1/3").rule(candidates(31))
        assert not rule.stops(replace(candidates(1)[0], rungs=(rung(1 / 3, 0.0),), **WORST))


def test_an_unknown_name_is_refused():
    with pytest.raises(InvalidInputError, match=r"`stopping` must be known, got 'halvin'. .*halving"):
        make_stopping("halvin", objective=OBJECTIVES["pareto"])


@pytest.mark.parametrize("text", ["", "0", "1", "1/2,1/4", "1/4,1/4", "half", "1/0", "-1/8,1/2", "nan"])
def test_rungs_that_are_none_are_refused(name, text):
    with pytest.raises(InvalidInputError, match="`rungs` must be rising shares above 0 and below 1"):
        make_stopping(name, objective=OBJECTIVES["pareto"], rungs=text)


def test_rungs_are_read():
    assert parse_rungs("1/8, 0.25,1/2") == SHARES
    assert make_stopping("none", objective=OBJECTIVES["pareto"]).rule([]).rungs == ()
    assert make_stopping("dominated", objective=OBJECTIVES["pareto"]).rule([]).rungs == (
        0.125,
        0.1875,
        0.25,
        0.375,
        0.5,
    )


def test_a_single_objective_is_given_more_care():
    one, many = (make_stopping("dominated", objective=OBJECTIVES[name]).rule([]) for name in ("reward", "pareto"))
    assert one.num_stderrs > many.num_stderrs


def test_rules_import_no_torch():
    code = "import sys, nas.optimization.stopping; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
