"""Rules by which a candidate's training is stopped early, by name: one module a rule. No torch.

A rule is made from what was measured so far when a candidate is given out, as plain data that goes with it. Where the
candidate is trained, the rule is asked at every rung, and nobody else has to be: it works alike in this process, in
workers and on other machines, and a resumed search makes the same rule from the same measurements.
"""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

from nas.errors import did_you_mean, invalid
from nas.evaluation.job import StopRule
from nas.evaluation.measurement import Measurement
from nas.optimization.objectives import Objective
from nas.optimization.stopping.dominated import NUM_STDERRS, NUM_STDERRS_OF_ONE, DominatedStopping
from nas.optimization.stopping.halving import HalvingStopping
from nas.optimization.stopping.none import NoStopping

STOPPING_NAMES = ("dominated", "halving", "none")
DOMINATED_RUNGS = "1/8,3/16,1/4,3/8,1/2"
"""Looking there costs nothing; chosen by measurement: results/early_stopping/README.md."""
HALVING_RUNGS = "1/8,1/4,1/2"


class EarlyStopping(Protocol):
    def rule(self, measurements: Sequence[Measurement]) -> StopRule:
        """Return the rule for the next candidate, given all that was measured, early stopped candidates included."""


def make_stopping(name: str, *, objective: Objective, rungs: str | None = None) -> EarlyStopping:
    """Return what makes the rules.

    Args:
        name: One of `STOPPING_NAMES`; see the module of that name.
        objective: What the search optimises.
        rungs: Shares of a training at which rules are asked, as `parse_rungs` reads them; None for those above, and for
            none where nothing is stopped.

    Raises:
        InvalidInputError: If the name is unknown, or the rungs are none.
    """
    match name:
        case "dominated":
            care = NUM_STDERRS if len(objective.directions) > 1 else NUM_STDERRS_OF_ONE
            return DominatedStopping(parse_rungs(DOMINATED_RUNGS if rungs is None else rungs), objective, care)
        case "halving":
            return HalvingStopping(parse_rungs(HALVING_RUNGS if rungs is None else rungs))
        case "none":
            return NoStopping(() if rungs is None else parse_rungs(rungs))
        case _:
            raise invalid("stopping", "known", name, did_you_mean(name, STOPPING_NAMES))


def parse_rungs(text: str) -> tuple[float, ...]:
    """Read shares such as "1/8,1/4,1/2" or "0.1,0.5".

    Raises:
        InvalidInputError: If one is no number above 0 and below 1, or they do not rise.
    """
    try:
        shares = tuple(float(Fraction(word.strip())) for word in text.split(","))
    except (ValueError, ZeroDivisionError):
        shares = ()
    ascending = all(one < other for one, other in itertools.pairwise(shares))
    if not shares or not ascending or shares[0] <= 0 or shares[-1] >= 1:
        raise invalid("rungs", "rising shares above 0 and below 1", text, f"Write for example {HALVING_RUNGS}.")
    return shares
