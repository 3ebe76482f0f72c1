"""Trials that a sampler may fill in before the study holds them.

Optuna creates a trial first and writes each of its parameters after that, one record each. Here a trial is a *draft*
until all about it is known, and is then written as one record: that is cheap on every storage, a kill leaves all of a
trial or nothing, and other drivers never see half of one.
"""

from collections.abc import Container, Mapping, Sequence
from copy import deepcopy as deep_copy
from datetime import datetime
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

_DRAFT_ID = -1


class Drafts:
    """Makes drafts for a study, one at a time.

    Attributes:
        study: The study as a sampler sees it: with the draft as its last trial, running. Telling the draft's end to
            this study puts it into the real one, ended.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._storage = _DraftStorage(study._storage, study._study_id)
        self._real = study
        self.study = optuna.load_study(
            study_name=study.study_name, storage=cast(BaseStorage, self._storage), sampler=study.sampler
        )

    def begin(self, sampler: BaseSampler, number: int, params: Mapping[str, Any] | None = None) -> Trial:
        """Return a new draft; the one before is dropped if it was not added.

        Args:
            sampler: What proposes its parameters.
            number: How many trials the study has: what the draft's number will be, unless another driver is faster.
            params: Parameters that are given, not proposed.
        """
        self._storage.begin(number, {} if params is None else {"fixed_params": dict(params)})
        self.study.sampler = sampler
        self.study._thread_local.cached_all_trials = None  # As `Study.ask` does: samplers would read an old copy.
        return Trial(self.study, _DRAFT_ID)

    def add(self, state: TrialState) -> Trial:
        """Put the draft into the study, waiting or running; return it as a trial of the study."""
        self._storage.set_trial_state_values(_DRAFT_ID, state)
        return Trial(self._real, self._storage.added_id)

    @property
    def added_number(self) -> int:
        """The number in the study of the draft that was added last."""
        return self._real._storage.get_trial_number_from_id(self._storage.added_id)


class _DraftStorage:
    """A study's storage with one trial more. All that is not about that trial goes to the storage itself."""

    def __init__(self, inner: BaseStorage, study_id: int) -> None:
        self._inner = inner
        self._study_id = study_id
        self._draft: FrozenTrial | None = None
        self.added_id = _DRAFT_ID

    def begin(self, number: int, system_attrs: dict[str, Any]) -> None:
        self._draft = FrozenTrial(
            number=number,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=datetime.now(),
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs=system_attrs,
            intermediate_values={},
            trial_id=_DRAFT_ID,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _open(self) -> FrozenTrial:
        assert self._draft is not None, "a draft is used between `begin` and its end"
        return self._draft

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._inner.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        if self._draft is None or (states is not None and TrialState.RUNNING not in states):
            return trials
        return [*trials, deep_copy(self._draft) if deepcopy else self._draft]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id != _DRAFT_ID:
            return self._inner.get_trial(trial_id)
        # Optuna looks at a trial once more after it has been told.
        return self._inner.get_trial(self.added_id) if self._draft is None else self._draft

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        return self.get_trial(trial_id).system_attrs

    def set_trial_param(self, trial_id: int, name: str, internal: float, distribution: BaseDistribution) -> None:
        if trial_id != _DRAFT_ID:
            self._inner.set_trial_param(trial_id, name, internal, distribution)
            return
        draft = self._open()
        draft.distributions = {**draft.distributions, name: distribution}
        draft.params = {**draft.params, name: distribution.to_external_repr(internal)}

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        if trial_id == _DRAFT_ID:
            self._open().user_attrs[key] = value
        else:
            self._inner.set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if trial_id == _DRAFT_ID:
            self._open().system_attrs[key] = value
        else:
            self._inner.set_trial_system_attr(trial_id, key, value)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        if trial_id != _DRAFT_ID:
            return self._inner.set_trial_state_values(trial_id, state, values)
        draft, self._draft = self._open(), None
        draft.state = state
        draft.values = None if values is None else list(values)
        if state.is_finished():
            draft.datetime_complete = datetime.now()
        self.added_id = self._inner.create_new_trial(self._study_id, template_trial=draft)
        return True
