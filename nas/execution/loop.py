"""The ask-and-tell loop: which trial next, who evaluates it, what the study is told."""

import itertools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import Trial

from nas.errors import invalid
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job, job_seed
from nas.execution.events import (
    Event,
    Failed,
    Finished,
    Measured,
    Opened,
    Outside,
    Repeated,
    Started,
    Stopping,
)
from nas.execution.executor import Executor
from nas.execution.job import Failure, Outcome
from nas.execution.ledger import Key, Ledger, key_of
from nas.execution.prescreen import Prescreen
from nas.execution.recovery import recover
from nas.execution.signals import StopSignals
from nas.optimization.objectives import Objective, measurement_reward
from nas.optimization.prefilter import Prefilter
from nas.optimization.trials import (
    FAIL_REASON,
    ORIGIN,
    candidates,
    describe,
    measurement_of,
    note_signal,
    signals_of,
    spec_of,
    tell_failed,
    tell_measured,
    tell_outside,
    tell_repeat,
)
from nas.space import Params, SearchSpace
from nas.spec import ArchSpec

logger = logging.getLogger(__name__)

MAX_FREE_ASKS = 30
"""Repeats and trials outside the bounds in a row before a random new candidate is proposed."""

_ENUMERATED = 5_000
"""Spaces with at most this many configurations are enumerated to find what is left; larger ones are sampled."""
_SAMPLED = 2_000
_POLL_S = 0.5


def search_loop(
    study: optuna.Study,
    space: SearchSpace,
    *,
    budget: int,
    objective: Objective,
    executor: Executor,
    make_sampler: Callable[[int], BaseSampler],
    fidelity: Fidelity,
    seed: int,
    warm_start: bool,
    on_event: Callable[[Event], None],
    common_seed: bool = True,
    prescreen: Prescreen | None = None,
    prefilter: Prefilter | None = None,
) -> Finished:
    """Evaluate candidates until the study holds `budget` of them, those of earlier calls included.

    Whatever kills the driver, calling this again with the same arguments goes on where the study is. With one worker
    and a sampler that depends only on its number and the study, it proposes what an uninterrupted search would have.

    Args:
        study: With the objective's directions. No other driver may be at work on it.
        space: What candidates are made of.
        budget: Candidates to evaluate in all, at least 1. Repeats and trials outside the bounds are free.
        objective: What is told of a measurement.
        executor: Open; the loop closes it only when it is told to stop at once.
        make_sampler: Returns a sampler for one ask, from a number that is new whenever the sampler is to propose (see
            `Ledger.next_draw`).
        fidelity: How much training each candidate gets.
        seed: The search's.
        warm_start: Evaluate the space's reference networks first, where the sampler has not begun yet.
        on_event: Is told what happens, in this thread and as it happens.
        common_seed: Give every candidate the same seed, hence the same data order and augmentation, which takes noise
            out of comparisons; otherwise each network has its own.
        prescreen: Which candidates are too slow to be evaluated, going by those that were; None for none.
        prefilter: Which of the sampler's proposals are passed over, going by a cheap signal; None for none.

    Returns:
        How it ended. After a first Ctrl-C or SIGTERM the running candidates are awaited and told, after a second they
        are cancelled and queued again; either leaves a study that can be resumed.
    """
    if budget < 1:
        raise invalid("budget", "at least 1", budget, "Say how many candidates to evaluate.")
    with StopSignals() as signals:
        recover(study, space, objective)
        search = _Search(
            study=study,
            space=space,
            budget=budget,
            objective=objective,
            executor=executor,
            make_sampler=make_sampler,
            fidelity=fidelity,
            seed=seed,
            on_event=on_event,
            common_seed=common_seed,
            prescreen=prescreen,
            prefilter=prefilter,
            ledger=Ledger.read(study),
        )
        if prefilter is not None:
            prefilter.resume(signals_of(study))
        past = tuple(_past(study))
        for candidate in past:
            search.learn(candidate)
        on_event(Opened(budget, past))
        if warm_start:
            search.enqueue_references()
        finished = search.run(signals)
        on_event(finished)
        return finished


@dataclass(slots=True)
class _Search:
    """One call of `search_loop`: its arguments, and what is under way.

    Attributes:
        running: Trials that the executor has, with their keys, by number.
        repeats: Trials equal to a running one, by its key; told when it is.
        exhausted: Whether every network that could be found has been evaluated or is running.
    """

    study: optuna.Study
    space: SearchSpace
    budget: int
    objective: Objective
    executor: Executor
    make_sampler: Callable[[int], BaseSampler]
    fidelity: Fidelity
    seed: int
    on_event: Callable[[Event], None]
    common_seed: bool
    prescreen: Prescreen | None
    prefilter: Prefilter | None
    ledger: Ledger
    running: dict[int, tuple[Trial, Key]] = field(default_factory=dict)
    repeats: dict[Key, list[Trial]] = field(default_factory=dict)
    exhausted: bool = False
    unseen: dict[Key, Params] | None = None

    def learn(self, candidate: Measured | Failed) -> None:
        """Let the prescreen know what a candidate's step took."""
        if self.prescreen is not None and isinstance(candidate, Measured):
            relative_step_time = candidate.measurement.relative_step_time
            assert relative_step_time is not None, "a search with a limit on step times measures them"
            self.prescreen.add(candidate.spec, relative_step_time)

    def _excess(self, spec: ArchSpec) -> float:
        """Return how far a candidate is outside the space's bounds, or beyond the prescreen's limit."""
        excess = self.space.excess(spec)
        return excess if excess > 0 or self.prescreen is None else self.prescreen.excess(spec)

    def enqueue_references(self) -> None:
        trials = self.study.get_trials(deepcopy=False)
        if any(trial.user_attrs.get(ORIGIN) not in self.space.references for trial in trials):
            return
        queued = {trial.user_attrs[ORIGIN] for trial in trials}
        for name, params in itertools.islice(self.space.references.items(), self.budget):
            if name not in queued:
                self._enqueue({key: params[key] for key in self.space.choices}, name)

    def run(self, signals: StopSignals) -> Finished:
        told_to_stop = False
        while True:
            while not signals.stop_requested and self._has_room():
                self._ask()
            if not self.running:
                break
            if signals.stop_requested and not told_to_stop:
                told_to_stop = True
                self.on_event(Stopping(len(self.running)))
            try:
                with signals.cancellable():
                    ended = self.executor.next_outcome(_POLL_S)
            except KeyboardInterrupt:
                self._cancel()
                break
            if ended is not None:
                self._tell(*ended)
        done = self.ledger.num_candidates
        short = done < self.budget
        return Finished(done, interrupted=signals.stop_requested and short, exhausted=self.exhausted and short)

    def _has_room(self) -> bool:
        under_way = len(self.running)
        return (
            not self.exhausted
            and under_way < self.executor.capacity
            and self.ledger.num_candidates + under_way < self.budget
        )

    def _ask(self) -> None:
        """Ask for one trial, and give it to the executor if it is a new candidate."""
        if self.ledger.num_free_asks >= MAX_FREE_ASKS and not self.ledger.waiting:
            params = self._find_unseen()
            if params is None:
                self.exhausted = True
                return
            self._enqueue(params, "random")
        self.study.sampler = self.make_sampler(self.ledger.next_draw)
        trial = self.study.ask()
        self.ledger.count_asked(trial.number)
        spec = self.space.suggest(trial)
        describe(trial, spec)
        origin = trial.user_attrs.get(ORIGIN)
        if origin is None:
            origin = "sampler"
            trial.set_user_attr(ORIGIN, origin)
        excess = self._excess(spec)
        key = key_of(spec)
        if excess > 0:
            self.ledger.num_free_asks += 1
            tell_outside(self.study, trial, excess)
            self.on_event(Outside(trial.number, excess))
        elif key in self.ledger.evaluated:
            self.ledger.num_free_asks += 1
            self._tell_repeat(trial, self.ledger.evaluated[key])
        elif key in self.repeats:
            self.ledger.num_free_asks += 1
            self.repeats[key].append(trial)
        elif origin == "sampler" and (excess := self._shortfall(trial, spec)) > 0:
            self.ledger.num_free_asks += 1
            tell_outside(self.study, trial, excess)
            self.on_event(Outside(trial.number, excess))
        else:
            self._submit(trial, spec, key, origin)

    def _shortfall(self, trial: Trial, spec: ArchSpec) -> float:
        """Return by how much the prefilter's signal is too low, and keep the signal; 0 or less is evaluated."""
        if self.prefilter is None:
            return 0.0
        signal, shortfall = self.prefilter.judge(spec)
        note_signal(trial, signal)
        return shortfall

    def _submit(self, trial: Trial, spec: ArchSpec, key: Key, origin: str) -> None:
        self.ledger.num_free_asks = 0
        self.running[trial.number] = trial, key
        self.repeats[key] = []
        seed = job_seed(self.seed, self.fidelity, "" if self.common_seed else spec.arch_id)
        self.executor.submit(Job(trial.number, spec, self.fidelity, seed))
        self.on_event(Started(trial.number, spec, origin))

    def _tell(self, job: Job, outcome: Outcome) -> None:
        trial, key = self.running.pop(job.number)
        if not isinstance(outcome, Failure) and not all(map(math.isfinite, self.objective.values(outcome))):
            # Optuna would turn it into a failure without a reason, which would not use up budget.
            outcome = Failure("diverged", f"diverged: {self.objective.name} is {self.objective.values(outcome)}")
        if isinstance(outcome, Failure):
            tell_failed(self.study, trial, outcome.reason)
            self.on_event(Failed(job.number, job.spec, outcome.reason))
        else:
            tell_measured(self.study, trial, outcome, self.objective)
            measured = Measured(job.number, job.spec, outcome, measurement_reward(outcome))
            self.learn(measured)
            self.on_event(measured)
        self.ledger.evaluated[key] = job.number
        for repeat in self.repeats.pop(key):
            self._tell_repeat(repeat, job.number)

    def _tell_repeat(self, trial: Trial, original: int) -> None:
        tell_repeat(self.study, trial, self.study.get_trials(deepcopy=False)[original])
        self.on_event(Repeated(trial.number, original))

    def _enqueue(self, params: Params, origin: str) -> None:
        self.study.enqueue_trial(dict(params), user_attrs={ORIGIN: origin})
        self.ledger.count_enqueued()

    def _cancel(self) -> None:
        self.executor.close(cancel=True)
        recover(self.study, self.space, self.objective)

    def _is_new(self, spec: ArchSpec) -> bool:
        key = key_of(spec)
        if key in self.ledger.evaluated or key in self.repeats:
            return False
        return self.prescreen is None or self.prescreen.excess(spec) <= 0

    def _find_unseen(self) -> Params | None:
        """Return a random network inside the bounds and limits that was never evaluated and is not running, or None."""
        rng = np.random.default_rng([self.seed, self.ledger.next_draw])
        if self.space.num_configurations > _ENUMERATED:
            draws = (self.space.sample(rng) for _ in range(_SAMPLED))
            return next((params for params in draws if self._is_new(self.space.decode(params))), None)
        if self.unseen is None:
            self.unseen = _enumerate(self.space)
        unseen = [params for params in self.unseen.values() if self._is_new(self.space.decode(params))]
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


def _past(study: optuna.Study) -> list[Measured | Failed]:
    """Return the candidates of a study as the events that they were."""
    past: list[Measured | Failed] = []
    for trial in candidates(study):
        measurement = measurement_of(trial)
        if measurement is None:
            past.append(Failed(trial.number, spec_of(trial), trial.user_attrs[FAIL_REASON]))
        else:
            past.append(Measured(trial.number, spec_of(trial), measurement, measurement_reward(measurement)))
    return past
