"""A storage that is really out of reach: a database that another connection has locked, a folder that is away."""

import importlib.util
import sqlite3
import threading

import optuna
import pytest
from optuna.storages import RDBStorage

from nas.errors import InvalidInputError, StorageError
from nas.optimization.storage.journal import open_journal
from nas.optimization.storage.opening import open_storage
from nas.optimization.storage.patience import PatientStorage

LOCKED_S = 0.01
HAS_POSTGRES_CLIENT = importlib.util.find_spec("psycopg") is not None


@pytest.fixture
def database(tmp_path):
    """A study in a database that gives up waiting for a lock at once, and the database's path."""
    path = tmp_path / "study.db"
    inner = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": LOCKED_S}})
    return inner, path


def test_what_was_to_be_written_is_written_when_the_storage_is_back(database):
    inner, path = database
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            other.execute("ROLLBACK")

    study = optuna.create_study(storage=PatientStorage(inner, 60, "here", sleep))
    trial = study.ask()
    other.execute("BEGIN EXCLUSIVE")
    study.tell(trial, 2.0)
    assert len(pauses) == 3
    assert study.best_value == 2.0
    other.close()


def test_after_its_time_it_is_an_error_without_passwords(database):
    inner, path = database
    study = optuna.create_study(storage=PatientStorage(inner, 0.0, "postgresql://u:***@h/n"))
    trial = study.ask()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match=r"postgresql://u:\*\*\*@h/n has not been within reach.*--resume"):
            study.tell(trial, 2.0)
        other.execute("ROLLBACK")
    study.tell(trial, 2.0)


def test_a_folder_that_is_away_for_a_while(tmp_path):
    (tmp_path / "shared").mkdir()
    inner = open_journal(tmp_path / "shared" / "journal", is_shared=True)
    study = optuna.create_study(storage=PatientStorage(inner, 60, "here", threading.Event().wait))
    trial = study.ask()
    (tmp_path / "shared").rename(tmp_path / "away")
    back = threading.Timer(0.8, (tmp_path / "away").rename, [tmp_path / "shared"])
    back.start()
    study.tell(trial, 3.0)
    back.join()
    assert study.trials[0].value == 3.0


def test_mistakes_are_not_waited_for(database):
    inner, _ = database
    study = optuna.create_study(storage=PatientStorage(inner, 60, "here", lambda seconds: pytest.fail("waited")))
    with pytest.raises(KeyError):
        study._storage.get_trial(99)
    trial = study.ask()
    study.tell(trial, 1.0)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        trial.set_user_attr("a", 1)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("nonsense", "an address"),
        ("nonsense://here/there", "an address"),
        ("journal:///no/such/folder/file", "a file in a folder that exists"),
        ("sqlite:////no/such/folder/file", "within reach"),
        ("grpc://host", "grpc://HOST:PORT"),
        ("postgresql://u:***@h/n", "an address with its password"),
        ("postgresql://u:secret@127.0.0.1:1/n", "within reach" if HAS_POSTGRES_CLIENT else "one whose client is"),
    ],
)
def test_an_address_that_cannot_be_opened_is_refused_without_its_password(url, rule):
    with pytest.raises(InvalidInputError, match=f"`storage` must be {rule}") as caught:
        open_storage(url, 1)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
