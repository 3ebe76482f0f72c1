"""Proposals that are passed over by a cheap signal, in real searches whose measurements follow from the networks."""

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from nas.execution import InProcessExecutor
from nas.execution.events import Event, Outside
from nas.optimization.prefilter import MIN_SIGNALS, Prefilter, trivial_signal
from nas.optimization.trials import ORIGIN, candidates, signals_of, spec_of
from tests.execution.support import Analytic, SamplerMaker, make_space, open_study, search, told
from tests.execution.test_crash import Fatal

BUDGET = 14
SCORE = trivial_signal("params", num_classes=10, in_channels=3)


def search_here(folder: Path, backend: JournalFileBackend, events: list[Event] | None = None) -> None:
    with InProcessExecutor(Analytic(folder / "log")) as executor:
        search(
            open_study(backend=backend),
            executor,
            budget=BUDGET,
            space=make_space(num_references=1),
            make_sampler=SamplerMaker(1),
            prefilter=Prefilter(0.4, SCORE),
            events=events,
        )


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Event]]:
    folder, events = tmp_path_factory.mktemp("whole"), list[Event]()
    search_here(folder, JournalFileBackend(str(folder / "journal")), events)
    return open_study(folder / "journal"), events


def test_low_ones_are_passed_over_for_free(searched: tuple[Any, list[Event]]) -> None:
    study, events = searched
    refused = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert len(candidates(study)) == BUDGET
    assert len(refused) > 3
    assert len(refused) == sum(isinstance(event, Outside) for event in events)
    signals = signals_of(study)
    assert len(signals) == len(refused) + BUDGET - 1, "the reference network is not judged"
    for trial in refused:
        before = [SCORE(spec_of(t)) for t in study.trials[: trial.number] if t.user_attrs[ORIGIN] == "sampler"]
        assert len(before) >= MIN_SIGNALS
        assert sum(value <= SCORE(spec_of(trial)) for value in before) / len(before) < 0.6


@pytest.mark.parametrize("point", range(12))
def test_killed_and_resumed_it_goes_on_as_if_nothing_had_been(
    searched: tuple[Any, list[Event]], tmp_path: Path, point: int
) -> None:
    journal = tmp_path / "journal"
    write = 3 + 5 * point + random.Random(point).randrange(5)
    pid = os.fork()
    if pid == 0:
        try:
            search_here(tmp_path, Fatal(journal, write, point % 2 == 0))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    for lock in tmp_path.glob("journal.lock*"):
        lock.unlink()
    search_here(tmp_path, JournalFileBackend(str(journal)))
    study = open_study(journal)
    assert told(study) == told(searched[0])
    assert signals_of(study) == signals_of(searched[0])


def test_a_search_ends_where_all_signals_but_one_are_low(tmp_path: Path) -> None:
    """The prefilter slows a search down, and never stops it: after a while random networks are evaluated."""
    study = open_study()
    with InProcessExecutor(Analytic(tmp_path / "log")) as executor:
        prefilter = Prefilter(0.01, SCORE)
        finished = search(
            study, executor, budget=36, space=make_space(num_layers=(1,), num_references=1), prefilter=prefilter
        )
    assert finished.num_candidates == 36
