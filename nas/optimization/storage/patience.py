"""A storage that waits for its server to come back."""

import importlib.util
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from nas.errors import StorageError

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_RPC_ERRORS: tuple[type[Exception], ...] = (
    (importlib.import_module("grpc").RpcError,) if importlib.util.find_spec("grpc") else ()
)
_ERRORS: tuple[type[Exception], ...] = (StorageInternalError, DBAPIError, PoolTimeoutError, OSError, *_RPC_ERRORS)

_Result = TypeVar("_Result")

_logger = logging.getLogger(__name__)


class PatientStorage:
    """Optuna's storage, with every call repeated while the storage cannot be reached.

    What a call was to write is held by whoever waits in it, so nothing that was measured meanwhile is lost. A call
    whose answer was lost on the way is made twice; what is left of that is a trial that nobody works on, which is
    found like one of a dead driver.

    Args:
        inner: The storage.
        timeout_s: Seconds after which a call raises StorageError.
        name: What to call it in messages; without passwords.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self, inner: BaseStorage, timeout_s: float, name: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._inner = inner
        self._timeout_s = timeout_s
        self._name = name
        self._sleep = sleep

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method):
            return method

        def patient(*args: Any, **kwargs: Any) -> Any:
            return self._persist(lambda: method(*args, **kwargs))

        return patient

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        attempts = 0

        def attempt() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                return self._inner.set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                # An attempt before this one may have been done without our hearing of it.
                if attempts > 1 and self._inner.get_trial(trial_id).state == state:
                    return True
                raise

        return self._persist(attempt)

    def _persist(self, attempt: Callable[[], _Result]) -> _Result:
        began, pause = time.monotonic(), _FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except _ERRORS as error:
                if not is_unreachable(error):
                    raise
                waited = time.monotonic() - began
                if waited >= self._timeout_s:
                    raise StorageError(
                        f"The storage {self._name} has not been within reach for {waited:.0f} s: {first_line(error)}. "
                        "All that was told is in it; go on with --resume when it is back."
                    ) from error
                if pause == _FIRST_PAUSE_S:
                    _logger.warning("The storage %s is out of reach, waiting: %s", self._name, first_line(error))
                self._sleep(min(pause, self._timeout_s - waited) * random.uniform(0.5, 1))
                pause = min(2 * pause, _LONGEST_PAUSE_S)


def is_unreachable(error: BaseException) -> bool:
    """Whether an error of a storage may go away by itself: a connection that failed, a database that is locked."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, DBAPIError):
        # Bad statements and broken constraints are mistakes, and stay so.
        return type(cause).__name__ in ("OperationalError", "InterfaceError") or cause.connection_invalidated
    return isinstance(cause, (PoolTimeoutError, *_RPC_ERRORS, OSError))


def first_line(error: BaseException) -> str:
    """Return what an error says, without the statement and the parameters that SQLAlchemy adds."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ is not None else error
    original = getattr(cause, "orig", None) or cause
    return " ".join(str(original).split()) or type(original).__name__
