"""`open_storage`: any storage of Optuna's by its address."""

import random
import re
import time
import warnings
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage, get_storage
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from nas.errors import invalid
from nas.optimization.storage.address import PASSWORD_LEFT_OUT, redacted
from nas.optimization.storage.journal import JournalFile, open_journal
from nas.optimization.storage.patience import PatientStorage, first_line

_CONNECT_S = 10
_RACE = re.compile(r"already exists|duplicate|unique|locked", re.IGNORECASE)
_SCHEMA_PAUSES_S = (0.2, 0.5, 1.0, 2.0)
_EXAMPLES = "For example postgresql://user@host/name, or journal:///path/of/a/shared/file."


def open_storage(url: str, timeout_s: float, *, read_only: bool = False) -> BaseStorage:
    """Open a storage that drivers on several machines share.

    Args:
        url: "journal:///absolute/path" for a file in a folder that all machines see; "grpc://host:port" for Optuna's
            proxy server; else an address of SQLAlchemy's, such as "postgresql://user@host/name", "mysql+pymysql://..."
            or "sqlite:///path".
        timeout_s: Seconds to wait for the storage whenever it is out of reach later. It must be within reach now.
        read_only: Make no file, mend none and make no tables: what is not there is an error.

    Raises:
        InvalidInputError: If it cannot be opened. The message holds no password.
    """
    shown = redacted(url)
    if PASSWORD_LEFT_OUT in url:
        todo = "Give --storage, or set NAS_STORAGE: passwords are not kept with a run."
        raise invalid("storage", "an address with its password", shown, todo)
    scheme = urlsplit(url).scheme
    if scheme == "journal":
        inner: BaseStorage = _journal(url, read_only)
    elif scheme == "grpc":
        inner = _grpc(url)
    else:
        inner = _database(url, read_only)
    return cast(BaseStorage, PatientStorage(inner, timeout_s, shown))


def _journal(url: str, read_only: bool) -> BaseStorage:
    path = Path(urlsplit(url).path)
    if not path.name or not path.parent.is_dir():
        raise invalid("storage", "a file in a folder that exists", url, "Make the folder first.")
    if read_only and not path.is_file():
        raise invalid("storage", "a file that is there", url, "Correct the address.")
    if not read_only and path.is_file():
        JournalFile(str(path)).repair()
    return open_journal(path, is_shared=True)


def _grpc(url: str) -> BaseStorage:
    parts, shown = urlsplit(url), redacted(url)
    if parts.hostname is None or parts.port is None:
        raise invalid("storage", "grpc://HOST:PORT", shown, "Say where the proxy server listens.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            proxy = GrpcStorageProxy(host=parts.hostname, port=parts.port)
        proxy.wait_server_ready(timeout=_CONNECT_S)
    except ImportError as error:
        raise invalid("storage", "one whose client is installed", shown, "pip install grpcio protobuf.") from error
    except ConnectionError as error:
        raise invalid("storage", "within reach", shown, "Start the proxy server, or correct the address.") from error
    return proxy


def _database_at(address: URL, read_only: bool) -> BaseStorage:
    waits = {"connect_timeout": _CONNECT_S} if address.get_backend_name() in ("postgresql", "mysql") else {}
    options = {"pool_pre_ping": True, "connect_args": waits}
    for pause_s in (*_SCHEMA_PAUSES_S, None):
        try:
            text = address.render_as_string(hide_password=False)
            storage = RDBStorage(text, engine_kwargs=options, skip_table_creation=read_only)
            if address.get_backend_name() == "sqlite" and not read_only:
                _lock_transactions(storage.engine)
            return get_storage(storage)
        except (DBAPIError, StorageInternalError) as error:
            # Drivers that begin together in an empty database all try to make its tables; one succeeds.
            if pause_s is None or not _RACE.search(str(error)):
                raise
            time.sleep(pause_s * random.uniform(0.5, 1))
    raise AssertionError("unreachable")


def _lock_transactions(engine: Engine) -> None:
    """Have every transaction of SQLite lock the file from its beginning.

    Optuna takes a trial that waits by looking at its state and then setting it, and locks the row in between, which
    SQLite does not know: of two drivers that look at the same time both would take it.
    """

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # Connections made before have begun otherwise.


def _database(url: str, read_only: bool) -> BaseStorage:
    shown = redacted(url)
    try:
        address = make_url(url)
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        if read_only and address.get_backend_name() == "sqlite" and not Path(address.database or "").is_file():
            raise invalid("storage", "a file that is there", shown, "Correct the address.")
        return _database_at(address, read_only)
    except (ArgumentError, NoSuchModuleError) as error:
        raise invalid("storage", "an address", shown, _EXAMPLES) from error
    except ImportError as error:
        todo = 'Run: pip install "nas[postgres]".' if url.startswith("postgres") else f"It says: {error}."
        raise invalid("storage", "one whose client is installed", shown, todo) from error
    except (SQLAlchemyError, StorageInternalError) as error:
        raise invalid("storage", "within reach", shown, f"{first_line(error)}.") from error
