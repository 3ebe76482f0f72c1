"""The ask-and-tell loop: which trial next, who evaluates it, what the study is told."""

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.trial import Trial

from nas.errors import invalid
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job, job_seed
from nas.evaluation.measurement import Measurement
from nas.execution.endings import ending_of, tell
from nas.execution.events import (
    Candidate,
    Elsewhere,
    Event,
    Failed,
    Finished,
    Opened,
    Repeated,
    Retrained,
    Retraining,
    Started,
    Stopping,
)
from nas.execution.executor import Executor
from nas.execution.job import Outcome
from nas.execution.ledger import Key, Ledger
from nas.execution.noise import NoiseRepeats
from nas.execution.prescreen import Prescreen
from nas.execution.proposing import Proposer
from nas.execution.recovery import recover
from nas.execution.sharing import Others
from nas.execution.signals import GRACE_S, StopSignals
from nas.optimization.drafts import Drafts
from nas.optimization.objectives import Objective
from nas.optimization.prefilter import Prefilter
from nas.optimization.stopping import EarlyStopping
from nas.optimization.trials import (
    ARCH,
    ORIGIN,
    candidates,
    signals_of,
    spec_of,
    take,
    tell_repeat,
)
from nas.space import SearchSpace
from nas.spec import ArchSpec

logger = logging.getLogger(__name__)

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
    others: Others | None = None,
    noise_repeats: int = 0,
    prefilter: Prefilter | None = None,
    stopping: EarlyStopping | None = None,
    grace_s: float = GRACE_S,
) -> Finished:
    """Evaluate candidates until the study holds `budget` of them, those of earlier calls included.

    Whatever kills the driver, calling this again with the same arguments goes on where the study is. With one worker
    and a sampler that depends only on its number and the study, it proposes what an uninterrupted search would have.

    Args:
        study: With the objective's directions.
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
        others: The other drivers that work on the study; None if there may be none. With others the search ends when
            the budget is met by all together.
        noise_repeats: How many times measured candidates are trained again with other seeds, in all; free. See
            `NoiseRepeats`.
        prefilter: Which of the sampler's proposals are passed over, going by a cheap signal; None for none.
        stopping: Makes the rule by which training may be stopped early; None trains every candidate to the end.
        grace_s: Seconds that the running candidates have after SIGTERM or SIGUSR1.

    Returns:
        How it ended. After a first Ctrl-C, SIGTERM or SIGUSR1 the running candidates are awaited and told; after a
        second, or where grace ends, they are cancelled and queued again. Either leaves a study that can be resumed.
    """
    if budget < 1:
        raise invalid("budget", "at least 1", budget, "Say how many candidates to evaluate.")
    with StopSignals(grace_s) as signals:
        if others is None:
            recover(study, space, objective)
        proposer = Proposer(
            study=study,
            space=space,
            drafts=Drafts(study),
            make_sampler=make_sampler,
            seed=seed,
            on_event=on_event,
            prescreen=prescreen,
            prefilter=prefilter,
            others=others,
            repeats={},
        )
        search = _Search(
            study=study,
            space=space,
            budget=budget,
            objective=objective,
            executor=executor,
            fidelity=fidelity,
            seed=seed,
            on_event=on_event,
            common_seed=common_seed,
            stopping=stopping,
            ledger=Ledger.read(study),
            others=others,
            proposer=proposer,
            repeats=proposer.repeats,
            noise=NoiseRepeats(study, space, noise_repeats, 0 if others is None else others.draw_offset >> 32),
        )
        if prefilter is not None:
            prefilter.resume(signals_of(study))
        past = tuple(map(ending_of, candidates(study)))
        for candidate in past:
            search.learn(candidate)
        on_event(Opened(budget, past))
        if warm_start:
            proposer.propose_references(search.ledger, budget)
        finished = search.run(signals)
        on_event(finished)
        return finished


@dataclass(slots=True)
class _Search:
    """One call of `search_loop`: its arguments, and what is under way.

    Attributes:
        running: Trials that the executor has, with their keys, by number.
        repeats: Trials equal to one that runs or waits, by its key; told when it is.
        noise: Which repeats are due, and which the executor has.
        exhausted: Whether every network that could be found has been evaluated or is running.
        measured: What was measured of the candidates so far, those of other drivers included, by trial number.
    """

    study: optuna.Study
    space: SearchSpace
    budget: int
    objective: Objective
    executor: Executor
    fidelity: Fidelity
    seed: int
    on_event: Callable[[Event], None]
    common_seed: bool
    stopping: EarlyStopping | None
    ledger: Ledger
    others: Others | None
    proposer: Proposer
    repeats: dict[Key, list[Trial]]
    noise: NoiseRepeats
    running: dict[int, tuple[Trial, Key]] = field(default_factory=dict)
    exhausted: bool = False
    measured: dict[int, Measurement] = field(default_factory=dict)

    def learn(self, candidate: Candidate) -> None:
        """Keep what was measured of a candidate, for rules of early stopping and for later proposals."""
        if not isinstance(candidate, Failed):
            self.measured[candidate.number] = candidate.measurement
        self.proposer.learn(candidate)

    def run(self, signals: StopSignals) -> Finished:
        told_to_stop = False
        while True:
            if not signals.stop_requested:
                self._keep_busy()
            if not self._num_busy and (signals.stop_requested or not self._has_work()):
                break
            if signals.stop_requested and not told_to_stop:
                told_to_stop = True
                self.on_event(Stopping(self._num_busy))
            try:
                with signals.cancellable():
                    ended = self._next_outcome()
            except KeyboardInterrupt:
                self._cancel()
                break
            if ended is not None:
                self._tell(*ended, stopping=signals.stop_requested)
        self._leave()
        done = self.ledger.num_candidates
        short = done < self.budget
        return Finished(done, interrupted=signals.stop_requested and short, exhausted=self.exhausted and short)

    @property
    def _num_busy(self) -> int:
        return len(self.running) + len(self.noise.running)

    def _next_outcome(self) -> tuple[Job, Outcome] | None:
        if self._num_busy or self.executor.capacity == 0:
            return self.executor.next_outcome(_POLL_S)
        time.sleep(_POLL_S)  # Others are at work.
        return None

    def _has_work(self) -> bool:
        """Whether a candidate waits that may be evaluated; of several drivers each stays until the budget is met, to
        go on where another one is lost.
        """
        if self.others is not None:
            return self.ledger.num_candidates < self.budget and (not self.exhausted or bool(self.ledger.live))
        return any(self.ledger.admits(number, self.budget) for number in self.ledger.waiting)

    def _look_around(self) -> None:
        """See what other drivers did since the last time."""
        if self.others is None:
            return
        self.ledger, ended = self.others.look(self.ledger)
        for candidate in map(ending_of, ended):
            self.learn(candidate)
            self.on_event(Elsewhere(candidate))
        here = {key for _, key in self.running.values()}
        for key in [key for key in self.repeats if key not in here]:
            original = self.ledger.evaluated.get(key)
            if original is not None:
                for repeat in self.repeats.pop(key):
                    self._tell_repeat(repeat, original)
                continue
            for repeat in self.repeats[key]:
                if self.ledger.live.get(key, repeat.number) == repeat.number:  # What it waits for is gone.
                    self.repeats[key].remove(repeat)
                    self.others.pass_on(repeat)
                    break

    def _keep_busy(self) -> None:
        """Give free workers what waits, and let one candidate more wait, so that no worker has to.

        It is proposed when the candidates before it run, never later: what a sampler knows must not depend on how
        long a proposal takes, or a resumed search would go another way.
        """
        self._take_waiting()
        while not self.exhausted and not self.ledger.waiting and self.ledger.num_claimed < self.budget:
            self.exhausted = not self.proposer.propose_next(self.ledger)
            self._take_waiting()

    def _take_waiting(self) -> None:
        """Take the trials that wait: repeats at once, candidates while the executor and the budget have room."""
        self._look_around()
        self._retrain_due()
        for number, key in list(self.ledger.waiting.items()):
            is_repeat = self.ledger.repeats(number, key)
            has_room = self._num_busy < self.executor.capacity and self.ledger.admits(number, self.budget)
            if not is_repeat and not has_room:
                continue
            trial = take(self.study, self.space, number)
            self.ledger.count_taken(number)
            if trial is None:
                continue
            if self.others is not None:
                self.others.own(trial)
            if key in self.ledger.evaluated:
                self._tell_repeat(trial, self.ledger.evaluated[key])
            elif is_repeat:
                self.repeats.setdefault(key, []).append(trial)
            else:
                self._submit(trial, key)

    def _submit(self, trial: Trial, key: Key) -> None:
        self.running[trial.number] = trial, key
        spec = ArchSpec.from_dict(trial.user_attrs[ARCH])
        seed = job_seed(self.seed, self.fidelity, "" if self.common_seed else spec.arch_id)
        rule = None
        if self.stopping is not None:
            rule = self.stopping.rule([self.measured[number] for number in sorted(self.measured)])
        self.executor.submit(Job(trial.number, spec, self.fidelity, seed, stop_rule=rule))
        self.on_event(Started(trial.number, spec, trial.user_attrs[ORIGIN]))

    def _retrain_due(self) -> None:
        """Train measured candidates again that are due for it, while the executor has room."""
        nothing_left = self.exhausted or self.ledger.num_claimed >= self.budget
        while self._num_busy < self.executor.capacity:
            due = self.noise.begin_next(at_end=nothing_left and not self._has_work())
            if due is None:
                return
            repeat, trial = due
            spec = spec_of(trial)
            seed = job_seed(self.seed, self.fidelity, "" if self.common_seed else spec.arch_id, repeat=repeat)
            self.executor.submit(Job(trial.number, spec, self.fidelity, seed, repeat))
            self.on_event(Retraining(trial.number, spec, repeat, self.noise.num_repeats))

    def _tell(self, job: Job, outcome: Outcome, *, stopping: bool) -> None:
        if job.repeat:
            done = self.noise.end(job, outcome)
            self.on_event(Retrained(done.number, done.repeat, self.noise.num_repeats, done.measurement))
            return
        trial, key = self.running.pop(job.number)
        ended = self._end(trial, job, outcome)
        if ended is None:
            return
        self.ledger.count_evaluated(job.number, key)
        self.learn(ended)
        if not stopping:
            self._take_waiting()  # The worker shall not wait for what displays and tables make of it.
        self.on_event(ended)
        for repeat in self.repeats.pop(key, ()):
            self._tell_repeat(repeat, job.number)

    def _end(self, trial: Trial, job: Job, outcome: Outcome) -> Candidate | None:
        """Tell the study how a candidate ended; return None if another driver has passed it on in the meantime."""
        try:
            return tell(self.study, trial, job, outcome, self.objective)
        except UpdateFinishedTrialError:
            if self.others is None:
                raise
            logger.warning("Trial %d was passed on to another driver before it ended here.", job.number)
            return None

    def _tell_repeat(self, trial: Trial, original: int) -> None:
        try:
            tell_repeat(self.study, trial, self.study.get_trials(deepcopy=False)[original])
        except UpdateFinishedTrialError:
            if self.others is None:
                raise
            return
        self.on_event(Repeated(trial.number, original))

    def _leave(self) -> None:
        """Drop the repeats of what others have not evaluated yet."""
        if self.others is not None:
            for repeat in itertools.chain.from_iterable(self.repeats.values()):
                self.others.release(repeat)

    def _cancel(self) -> None:
        self.executor.close(cancel=True)
        if self.others is None:
            recover(self.study, self.space, self.objective)
        else:
            for trial, _ in self.running.values():
                self.others.pass_on(trial)
