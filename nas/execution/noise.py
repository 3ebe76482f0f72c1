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
    candidates,
    measurement_of,
    noise_repeats,
    note_noise_repeat,
)
from nas.space import SearchSpace

NUM_NETWORKS = 3
"""Candidates that are trained again where no reference network was measured."""


@dataclass(slots=True)
class NoiseRepeats:
    """Deals repeats out to the reference networks in turn, once all of them have ended.

    Where none was measured, the first measured candidates take their place. A repeat that was done, or failed, is never
    done again; one that was running when its search was killed is.

    Attributes:
        study: That is searched, and keeps the repeats.
        space: Tells the names of the reference networks.
        num_repeats: How many there are to be in the study.
        done: Repeats that the study has.
        running: Repeats that the executor has.
    """

    study: optuna.Study
    space: SearchSpace
    num_repeats: int
    done: set[int]
    running: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, study: optuna.Study, space: SearchSpace, num_repeats: int) -> "NoiseRepeats":
        """Take stock of a study."""
        return cls(study, space, num_repeats, {done.repeat for done in noise_repeats(study)})

    def look(self) -> None:
        """See which repeats other drivers have done."""
        self.done |= {done.repeat for done in noise_repeats(self.study)}

    def next_due(self, *, at_end: bool) -> FrozenTrial | None:
        """Return the candidate that is to be trained again next, or None while none is due.

        Args:
            at_end: No candidate is running, and none will be asked for.
        """
        repeat = self._next_repeat()
        if repeat is None:
            return None
        networks = self._networks(at_end)
        return networks[(repeat - 1) % len(networks)] if networks else None

    def begin(self) -> int:
        """Return the number of the repeat that was due, which is now running."""
        repeat = self._next_repeat()
        assert repeat is not None, "a repeat was due"
        self.running.add(repeat)
        return repeat

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
        self.done.add(job.repeat)
        return done

    def _next_repeat(self) -> int | None:
        known = self.done | self.running
        return next((repeat for repeat in range(1, self.num_repeats + 1) if repeat not in known), None)

    def _networks(self, at_end: bool) -> list[FrozenTrial]:
        trials = self.study.get_trials(deepcopy=False)
        references = [t for t in trials if _is_reference(t, self.space)]
        if not all(t.state.is_finished() for t in references):
            return []
        measured = [t for t in candidates(self.study) if measurement_of(t) is not None]
        known = [t for t in measured if _is_reference(t, self.space)]
        if known:
            return known
        return measured[:NUM_NETWORKS] if at_end or len(measured) >= NUM_NETWORKS else []


def _is_reference(trial: FrozenTrial, space: SearchSpace) -> bool:
    """Whether a trial is that of a reference network, and counts."""
    return trial.user_attrs.get(ORIGIN) in space.references and INTERRUPTED not in trial.user_attrs
