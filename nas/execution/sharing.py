"""What a driver does about the other drivers of its study: see what they did, and go on where one was lost."""

import logging

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.execution.drivers import Membership
from nas.execution.ledger import Ledger
from nas.optimization.objectives import Objective
from nas.optimization.trials import (
    DRIVER,
    is_candidate,
    move,
    pass_on,
    recorded_end,
)

_logger = logging.getLogger(__name__)


class Others:
    """The other drivers, as the loop deals with them.

    How a budget is met exactly: a trial's number says who comes first. A trial that waits is evaluated only if those
    before it that wait, run or were evaluated leave room in the budget (`Ledger.admits`), and if none of them is
    equal to it. Trials only ever leave that set, by ending as something that is free; so what was decided on an older
    view of the study stays right. Taking a trial that waits, and ending one, succeed for one driver only.

    Args:
        study: The study that is shared.
        objective: What is told of a measurement.
        membership: This driver, as the others see it; open.
    """

    def __init__(self, study: optuna.Study, objective: Objective, membership: Membership) -> None:
        self._study = study
        self._objective = objective
        self._membership = membership

    @property
    def draw_offset(self) -> int:
        return self._membership.draw_offset

    def look(self, before: Ledger) -> tuple[Ledger, list[FrozenTrial]]:
        """Read the study again, after passing on the trials of drivers that are gone.

        Returns:
            The study as it is, and the candidates that have ended since `before`.
        """
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in self._membership.abandoned(running):
            self._take_over(trial)
        trials = self._study.get_trials(deepcopy=False)
        known = set(before.evaluated.values())
        return Ledger.of(trials), [trial for trial in trials if trial.number not in known and is_candidate(trial)]

    def own(self, trial: Trial) -> None:
        """Note on a trial, a draft or one that was taken, that it runs here."""
        self._membership.own(trial)

    def pass_on(self, trial: Trial) -> None:
        """Let whoever is free go on with a trial that runs here."""
        pass_on(self._study, self._study._storage.get_trial(trial._trial_id))

    def release(self, trial: Trial) -> None:
        """Drop a trial that runs here."""
        move(self._study, trial, TrialState.FAIL)

    def _take_over(self, trial: FrozenTrial) -> None:
        end = recorded_end(trial, self._objective)
        told = pass_on(self._study, trial) if end is None else move(self._study, trial, *end)
        if told:
            _logger.warning("Driver %s is gone; trial %d goes on.", trial.user_attrs.get(DRIVER), trial.number)
