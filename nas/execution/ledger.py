"""What the loop must know of a study at every ask, kept up to date so that the study is read once, at the start."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, TrialState

from nas.optimization.trials import ARCH, ARCH_ID, INTERRUPTED, REPEAT_OF, is_candidate
from nas.spec import ArchSpec

Key = tuple[str, int]
"""Candidates with equal keys are evaluated once: arch_id, and the image size in training, which arch_id leaves out."""


def key_of(spec: ArchSpec) -> Key:
    return spec.arch_id, spec.train_image_size


def key_of_trial(trial: FrozenTrial) -> Key:
    return trial.user_attrs[ARCH_ID], trial.user_attrs[ARCH]["train_image_size"]


@dataclass(slots=True)
class Ledger:
    """Attributes:
    evaluated: Trial number of each evaluated network.
    live: Of each network that waits or runs, the lowest trial number.
    waiting: The trials that wait for a worker, by number in ascending order.
    num_trials: In the study, whatever their state.
    num_interrupted: Trials that count as if they had never been asked for, in studies from before trials were put
        back where they were.
    num_free_asks: Trials since the last new candidate that were repeats or outside the bounds.
    """

    evaluated: dict[Key, int] = field(default_factory=dict)
    live: dict[Key, int] = field(default_factory=dict)
    waiting: dict[int, Key] = field(default_factory=dict)
    num_trials: int = 0
    num_interrupted: int = 0
    num_free_asks: int = 0

    @classmethod
    def read(cls, study: optuna.Study) -> "Ledger":
        """Take stock of a study. Unfinished trials that nobody has described are left aside."""
        return cls.of(study.get_trials(deepcopy=False))

    @classmethod
    def of(cls, trials: Iterable[FrozenTrial]) -> "Ledger":
        """Take stock of all trials of a study, in the order of their numbers."""
        ledger = cls()
        for trial in trials:
            ledger.num_trials += 1
            if is_candidate(trial):
                ledger.evaluated[key_of_trial(trial)] = trial.number
                ledger.num_free_asks = 0
            elif not trial.state.is_finished():
                if ARCH_ID in trial.user_attrs:
                    ledger._count_live(trial.number, key_of_trial(trial), waits=trial.state == TrialState.WAITING)
            elif INTERRUPTED in trial.user_attrs:
                ledger.num_interrupted += 1
            elif trial.state != TrialState.FAIL or REPEAT_OF in trial.user_attrs:
                ledger.num_free_asks += 1
        return ledger

    def _count_live(self, number: int, key: Key, *, waits: bool) -> None:
        if key in self.evaluated or key in self.live:
            self.num_free_asks += 1
        else:
            self.num_free_asks = 0
        self.live.setdefault(key, number)
        if waits:
            self.waiting[number] = key

    @property
    def num_candidates(self) -> int:
        return len(self.evaluated)

    @property
    def num_claimed(self) -> int:
        """Networks that are evaluated or will be."""
        return len(self.evaluated) + sum(key not in self.evaluated for key in self.live)

    @property
    def next_draw(self) -> int:
        """What to seed the next proposal with: the number that its trial will have. It never comes again."""
        return self.num_trials - self.num_interrupted

    def is_known(self, key: Key) -> bool:
        """Whether a network is evaluated, runs or waits."""
        return key in self.evaluated or key in self.live

    def repeats(self, number: int, key: Key) -> bool:
        """Whether a trial that waits is equal to an earlier one."""
        return key in self.evaluated or self.live[key] < number

    def admits(self, number: int, budget: int) -> bool:
        """Whether a trial that waits may be evaluated: if the budget has room behind all that comes before it."""
        before = sum(
            key not in self.evaluated and (other < number or other not in self.waiting)
            for key, other in self.live.items()
        )
        return len(self.evaluated) + before < budget

    def count_free(self) -> None:
        """A proposal was a repeat or outside the bounds."""
        self.num_trials += 1
        self.num_free_asks += 1

    def count_waiting(self, number: int, key: Key) -> None:
        """A new candidate was proposed."""
        self.num_trials += 1
        self._count_live(number, key, waits=True)

    def count_taken(self, number: int) -> None:
        """A trial that waited runs."""
        del self.waiting[number]

    def count_evaluated(self, number: int, key: Key) -> None:
        self.evaluated[key] = number
        self.live.pop(key, None)
