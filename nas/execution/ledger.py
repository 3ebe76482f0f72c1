"""What the loop must know of a study at every ask, kept up to date so that the study is read once, at the start."""

from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, TrialState

from nas.optimization.trials import ARCH, ARCH_ID, INTERRUPTED, is_candidate
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
    waiting: Numbers of the enqueued trials, which Optuna hands out before it lets the sampler propose.
    num_trials: In the study, whatever their state.
    num_interrupted: Trials that count as if they had never been asked for.
    num_free_asks: Trials since the last new candidate that were repeats or outside the bounds.
    """

    evaluated: dict[Key, int] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    num_trials: int = 0
    num_interrupted: int = 0
    num_free_asks: int = 0

    @classmethod
    def read(cls, study: optuna.Study) -> "Ledger":
        """Take stock of a study with no running trial."""
        ledger = cls()
        for trial in study.get_trials(deepcopy=False):
            ledger.num_trials += 1
            if trial.state == TrialState.WAITING:
                ledger.waiting.add(trial.number)
            elif is_candidate(trial):
                ledger.evaluated[key_of_trial(trial)] = trial.number
                ledger.num_free_asks = 0
            elif INTERRUPTED in trial.user_attrs:
                ledger.num_interrupted += 1
            else:
                ledger.num_free_asks += 1
        return ledger

    @property
    def num_candidates(self) -> int:
        return len(self.evaluated)

    @property
    def next_draw(self) -> int:
        """What to seed the next ask with.

        It is the number the trial would have had without interruptions, so that a resumed search with one worker
        proposes exactly what an uninterrupted one does, and it never comes again once its trial has ended.
        """
        return self.num_trials - self.num_interrupted

    def count_enqueued(self) -> None:
        self.waiting.add(self.num_trials)
        self.num_trials += 1

    def count_asked(self, number: int) -> None:
        if number in self.waiting:
            self.waiting.remove(number)
        else:
            self.num_trials += 1
