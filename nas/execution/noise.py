"""Which measured candidates are trained again with other seeds, so that a search knows its noise."""

import math
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial

from nas.evaluation.job import Job
from nas.execution.job import Failure, Outcome
from nas.optimization.trials import (
    INTERRUPTED,
    ORIGIN,
    NoiseRepeat,
    is_candidate,
    measurement_of,
    noise_repeats,
    note_noise_repeat,
)
from nas.space import SearchSpace

NUM_NETWORKS = 3
"""Candidates that are trained again where no reference network was measured."""

NUM_BEFORE = 40
"""Candidates before the first repeat: a search that has just begun finds networks first. Repeats then come together, as
one or two of them say too little."""


@dataclass(slots=True)
class NoiseRepeats:
    """Deals repeats out to the reference networks in turn, once `NUM_BEFORE` candidates have ended, or all there are.

    Where no reference was measured, the first measured candidates take their place. A repeat that was done, or failed,
    is never done again; one that was running when its search was killed is. Several drivers look at what the others
    have done before they begin one. Two may still do the same at the same time, which is harmless: the later one is
    kept.

    Attributes:
        study: That is searched, and keeps the repeats.
        space: Tells the names of the reference networks.
        num_repeats: How many there are to be in the study.
        preference: A number that is another one in each of several drivers, so that they begin with different repeats.
        running: Repeats that the executor has.
    """

    study: optuna.Study
    space: SearchSpace
    num_repeats: int
    preference: int = 0
    running: set[int] = field(default_factory=set)
    _is_done: bool = False

    def begin_next(self, *, at_end: bool) -> tuple[int, FrozenTrial] | None:
        """Return the next repeat and its candidate, now running; None while none is due.

        Args:
            at_end: No candidate waits, and none will be proposed.
        """
        if self._is_done or len(self.running) == self.num_repeats:
            return None
        done = {each.repeat for each in noise_repeats(self.study)}
        missing = [repeat for repeat in range(1, self.num_repeats + 1) if repeat not in done | self.running]
        self._is_done = not missing and not self.running
        networks = self._networks(at_end) if missing else []
        if not networks:
            return None
        repeat = missing[self.preference % len(missing)]
        self.running.add(repeat)
        return repeat, networks[(repeat - 1) % len(networks)]

    def end(self, job: Job, outcome: Outcome) -> NoiseRepeat:
        """Keep how a running repeat ended."""
        if not isinstance(outcome, Failure) and not math.isfinite(outcome.accuracy):
            outcome = Failure("diverged", f"diverged: accuracy is {outcome.accuracy}")
        if isinstance(outcome, Failure):
            done = NoiseRepeat(job.repeat, job.number, None, outcome.reason)
        else:
            done = NoiseRepeat(job.repeat, job.number, outcome)
        note_noise_repeat(self.study, done)
        self.running.remove(job.repeat)
        return done

    def _networks(self, at_end: bool) -> list[FrozenTrial]:
        """Return what is trained again in turn; nothing where it is too early to say."""
        trials = self.study.get_trials(deepcopy=False)
        ended = [t for t in trials if is_candidate(t)]
        if not at_end and len(ended) < NUM_BEFORE:
            return []
        measured = [t for t in ended if measurement_of(t) is not None]
        references = [t for t in trials if _is_reference(t, self.space)]
        if not all(t.state.is_finished() for t in references):
            return []
        known = [t for t in measured if _is_reference(t, self.space)]
        if known:
            return known
        nobody_left = all(t.state.is_finished() for t in trials)
        return measured[:NUM_NETWORKS] if nobody_left or len(measured) >= NUM_NETWORKS else []


def _is_reference(trial: FrozenTrial, space: SearchSpace) -> bool:
    """Whether a trial is that of a reference network, and counts."""
    return trial.user_attrs.get(ORIGIN) in space.references and INTERRUPTED not in trial.user_attrs
