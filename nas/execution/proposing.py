"""What is evaluated next: the reference networks, what the sampler proposes, and where that ends, what is left."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from nas.execution.events import Candidate, Event, Failed, Outside, Repeated
from nas.execution.ledger import Key, Ledger, key_of
from nas.execution.prescreen import Prescreen
from nas.execution.sharing import Others
from nas.optimization.drafts import Drafts
from nas.optimization.prefilter import Prefilter
from nas.optimization.trials import ORIGIN, describe, note_signal, tell_outside, tell_repeat
from nas.space import Params, SearchSpace
from nas.spec import ArchSpec

MAX_FREE_ASKS = 30
"""Repeats and trials outside the bounds in a row before a random new candidate is proposed."""

_ENUMERATED = 5_000
"""Spaces with at most this many configurations are enumerated to find what is left; larger ones are sampled."""
_SAMPLED = 2_000


@dataclass(slots=True)
class Proposer:
    """Puts trials into a study: candidates that then wait for a worker, and what is free.

    Attributes:
        study: That is searched.
        space: What candidates are made of.
        drafts: Where a proposal is until all about it is known.
        make_sampler: Returns a sampler for one proposal, from a number that is new each time.
        seed: The search's.
        on_event: Is told of what is free.
        prescreen: Which candidates are too slow, going by those that were measured; None for none.
        prefilter: Which of the sampler's proposals are passed over, going by a cheap signal; None for none.
        others: The other drivers of the study; None if there are none.
        repeats: Trials equal to one that runs or waits, by its key: those that are proposed are added.
    """

    study: optuna.Study
    space: SearchSpace
    drafts: Drafts
    make_sampler: Callable[[int], BaseSampler]
    seed: int
    on_event: Callable[[Event], None]
    prescreen: Prescreen | None
    prefilter: Prefilter | None
    others: Others | None
    repeats: dict[Key, list[Trial]]
    _unseen: dict[Key, Params] | None = field(default=None, init=False)

    def learn(self, candidate: Candidate) -> None:
        """Let the prescreen know what a candidate's step took."""
        if self.prescreen is None or isinstance(candidate, Failed):
            return
        relative_step_time = candidate.measurement.relative_step_time
        assert relative_step_time is not None, "a search with a limit on step times measures them"
        self.prescreen.add(candidate.spec, relative_step_time)

    def propose_references(self, ledger: Ledger, budget: int) -> None:
        """Propose the space's reference networks, as far as the budget goes, unless the sampler has begun already."""
        trials = self.study.get_trials(deepcopy=False)
        if any(trial.user_attrs.get(ORIGIN) not in self.space.references for trial in trials):
            return
        proposed = {trial.user_attrs[ORIGIN] for trial in trials}
        for name, params in itertools.islice(self.space.references.items(), budget):
            if name not in proposed:
                self._propose(ledger, name, params)

    def propose_next(self, ledger: Ledger) -> bool:
        """Propose one network; return whether there was one left to propose.

        It comes from the sampler, or after many free proposals in a row at random from what was not evaluated yet.
        """
        if ledger.num_free_asks < MAX_FREE_ASKS:
            self._propose(ledger, "sampler")
            return True
        params = self._find_unseen(ledger)
        if params is not None:
            self._propose(ledger, "random", params)
        return params is not None

    def _propose(self, ledger: Ledger, origin: str, params: Params | None = None) -> None:
        """Put one trial into the study: a candidate that waits, or what is free.

        Args:
            ledger: What is known of the study; it is kept up to date.
            origin: Where the parameters come from.
            params: If the sampler is not to choose them.
        """
        trial = self.drafts.begin(self.make_sampler(self._draw(ledger)), ledger.num_trials, params)
        spec = self.space.suggest(trial)
        describe(trial, spec)
        trial.set_user_attr(ORIGIN, origin)
        excess, key = self._excess(spec), key_of(spec)
        if excess > 0:
            self._pass_over(ledger, trial, excess)
        elif key in ledger.evaluated:
            original = ledger.evaluated[key]
            tell_repeat(self.drafts.study, trial, self.study.get_trials(deepcopy=False)[original])
            ledger.count_free()
            self.on_event(Repeated(self.drafts.added_number, original))
        elif key in ledger.live:
            if self.others is not None:
                self.others.own(trial)
            self.repeats.setdefault(key, []).append(self.drafts.add(TrialState.RUNNING))
            ledger.count_free()
        elif origin == "sampler" and (excess := self._shortfall(trial, spec)) > 0:
            self._pass_over(ledger, trial, excess)
        else:
            ledger.count_waiting(self.drafts.add(TrialState.WAITING).number, key)

    def _pass_over(self, ledger: Ledger, trial: Trial, excess: float) -> None:
        tell_outside(self.drafts.study, trial, excess)
        ledger.count_free()
        self.on_event(Outside(self.drafts.added_number, excess))

    def _excess(self, spec: ArchSpec) -> float:
        """Return how far a candidate is outside the space's bounds, or beyond the prescreen's limit."""
        excess = self.space.excess(spec)
        return excess if excess > 0 or self.prescreen is None else self.prescreen.excess(spec)

    def _shortfall(self, trial: Trial, spec: ArchSpec) -> float:
        """Return by how much the prefilter's signal is too low, and keep the signal; 0 or less is evaluated."""
        if self.prefilter is None:
            return 0.0
        signal, shortfall = self.prefilter.judge(spec)
        note_signal(trial, signal)
        return shortfall

    def _draw(self, ledger: Ledger) -> int:
        """What to seed a proposal with; no two proposals of a study have the same."""
        return ledger.next_draw + (0 if self.others is None else self.others.draw_offset)

    def _is_new(self, ledger: Ledger, spec: ArchSpec) -> bool:
        if ledger.is_known(key_of(spec)):
            return False
        return self.prescreen is None or self.prescreen.excess(spec) <= 0

    def _find_unseen(self, ledger: Ledger) -> Params | None:
        """Return a random network inside the bounds and limits that was never evaluated and is not running, or None."""
        rng = np.random.default_rng([self.seed, self._draw(ledger)])
        if self.space.num_configurations > _ENUMERATED:
            draws = (self.space.sample(rng) for _ in range(_SAMPLED))
            return next((params for params in draws if self._is_new(ledger, self.space.decode(params))), None)
        if self._unseen is None:
            self._unseen = _enumerate(self.space)
        unseen = [params for params in self._unseen.values() if self._is_new(ledger, self.space.decode(params))]
        return unseen[int(rng.integers(len(unseen)))] if unseen else None


def _enumerate(space: SearchSpace) -> dict[Key, Params]:
    """Return one configuration of each network inside the bounds."""
    found: dict[Key, Params] = {}
    for values in itertools.product(*space.choices.values()):
        params = dict(zip(space.choices, values, strict=True))
        spec = space.decode(params)
        if space.excess(spec) <= 0:
            found.setdefault(key_of(spec), params)
    return found
