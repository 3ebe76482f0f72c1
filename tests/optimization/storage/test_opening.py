"""Of several processes that take the same waiting trial one gets it, whatever the storage."""

import itertools
import multiprocessing

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from nas.optimization.storage.opening import open_storage

NUM_TRIALS = 40


def take_all(url, start, taken):
    study = optuna.load_study(study_name="shared", storage=open_storage(url, 60))
    ids = [trial._trial_id for trial in study.get_trials(deepcopy=False)]
    start.wait()
    taken.put([one for one in ids if study._storage.set_trial_state_values(one, TrialState.RUNNING)])


def check_taken_once(url):
    study = optuna.create_study(study_name="shared", storage=open_storage(url, 60))
    study.add_trials([create_trial(state=TrialState.WAITING) for _ in range(NUM_TRIALS)])
    context = multiprocessing.get_context("spawn")
    start, taken = context.Barrier(2), context.Queue()
    processes = [context.Process(target=take_all, args=(url, start, taken)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [taken.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(itertools.chain(*found)) == [trial._trial_id for trial in study.trials]
    assert {trial.state for trial in study.trials} == {TrialState.RUNNING}


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_file(tmp_path, kind):
    check_taken_once(f"{kind}://{'/' if kind == 'sqlite' else ''}{tmp_path / 'study'}")


@pytest.mark.slow
def test_postgresql(postgres):
    check_taken_once(postgres)
