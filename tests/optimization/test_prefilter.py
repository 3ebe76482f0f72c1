import math
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.complexity import complexity, depth
from nas.evaluation.measurement import SIGNAL_NAMES
from nas.optimization.prefilter import MIN_SIGNALS, TRIVIAL_SIGNALS, Prefilter, PrefilterRule, trivial_signal
from tests.running import ROOT
from tests.synthetic import small_space

SPACE = small_space()
SPECS = [SPACE.decode(SPACE.sample(seed)) for seed in range(40)]


def judged(signals, keep):
    """Judge as many different networks as there are signals; return which are evaluated."""
    values = dict(zip((spec.arch_id for spec in SPECS), signals, strict=False))
    prefilter = Prefilter(keep, lambda spec: values[spec.arch_id])
    return [prefilter.judge(spec)[1] <= 0 for spec in SPECS[: len(signals)]]


@pytest.mark.parametrize("name", [*TRIVIAL_SIGNALS, *SIGNAL_NAMES])
def test_a_rule_is_read(name):
    assert PrefilterRule.parse(f"{name}:0.25") == PrefilterRule(name, 0.25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("param:0.5", "known signal, got 'param:0.5'. Did you mean 'params'"),
        ("", "known signal"),
        ("params", "share above 0 and below 1"),
        ("params:", "share above 0 and below 1"),
        ("params:half", "share above 0 and below 1"),
        ("params:0", "share above 0 and below 1"),
        ("params:1", "share above 0 and below 1"),
        ("params:nan", "share above 0 and below 1"),
        ("params:0.5:0.5", "share above 0 and below 1"),
    ],
)
def test_what_is_no_rule(text, message):
    with pytest.raises(InvalidInputError, match=message):
        PrefilterRule.parse(text)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40), st.floats(0.05, 0.95))
def test_a_proposal_is_held_against_those_before_it(signals, keep):
    for index, evaluated in enumerate(judged(signals, keep)):
        before = signals[:index]
        if len(before) < MIN_SIGNALS:
            assert evaluated
        else:
            not_higher = sum(other <= signals[index] for other in before)
            assert evaluated == (not_higher / len(before) >= 1 - keep)


def test_equal_signals_all_pass():
    assert all(judged([3.0] * 40, keep=0.1))


def test_about_the_share_that_was_asked_for_is_evaluated():
    values = random.Random(0).sample(range(10_000), 2_000)
    prefilter = Prefilter(0.3, lambda spec: values.pop())
    shares = []
    for _ in range(2_000):
        prefilter._known.clear()  # so that a few networks serve for thousands
        shares.append(prefilter.judge(SPECS[0])[1] <= 0)
    assert sum(shares) / len(shares) == pytest.approx(0.3, abs=0.03)


def test_a_missing_signal_is_the_lowest():
    assert judged([*range(20), None], keep=0.5)[-1] is False


def test_a_network_is_scored_once():
    scored = []
    prefilter = Prefilter(0.5, lambda spec: scored.append(spec) or 1.0)
    for _ in range(3):
        assert prefilter.judge(SPECS[0])[0] == 1.0
    assert scored == [SPECS[0]]


def test_it_goes_on_where_it_was():
    score = trivial_signal("macs", num_classes=10, in_channels=3)
    whole, part = Prefilter(0.5, score), Prefilter(0.5, score)
    expected = [whole.judge(spec) for spec in SPECS]
    found = [part.judge(spec) for spec in SPECS[:25]]
    resumed = Prefilter(0.5, score)
    resumed.resume(signal for signal, _ in found)
    assert found + [resumed.judge(spec) for spec in SPECS[25:]] == expected


def test_the_excess_is_a_difference_of_shares():
    prefilter = Prefilter(0.4, lambda spec: 0.0)
    prefilter.resume(range(1, 21))
    assert prefilter.judge(SPECS[0])[1] == pytest.approx(0.6)
    assert math.isfinite(prefilter.judge(SPECS[0])[1])


@pytest.mark.parametrize("spec", SPECS[:5], ids=lambda spec: spec.arch_id)
def test_trivial_signals(spec):
    cost = complexity(spec, num_classes=7, in_channels=1)
    found = {name: trivial_signal(name, num_classes=7, in_channels=1)(spec) for name in TRIVIAL_SIGNALS}
    assert found == {"params": cost.num_params, "macs": cost.num_macs, "depth": depth(spec)}


def test_a_rule_needs_neither_torch_nor_optuna():
    code = "import sys, nas.optimization.prefilter; sys.exit(bool({'torch', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
