"""`Membership`: one of several drivers that work on a study, and which of the others are gone.

Optuna's own heartbeats are written inside `Study.optimize` only. Here every driver keeps a counter among the study's
attributes. Whoever reads them goes by how long, on their own clock, a counter has not changed; clocks of different
machines are never compared.
"""

import logging
import os
import platform
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, Trial

from nas.errors import StorageError
from nas.optimization.trials import DRIVER

_LOOKS = 4
"""How often a driver must be looked at, and found silent, before it is taken for gone."""
_LEFT = -1

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Silence:
    """How long a trial of another driver has shown no sign of life."""

    mark: tuple[Any, ...]
    seconds: float = 0.0


class Membership:
    """This driver, as the others see it, for as long as the context manager is open.

    Args:
        study: The study that the drivers share.
        timeout_s: Seconds of silence after which a driver is taken for gone, and its trials are passed on. A driver
            that was only held up, and comes back, finds them ended.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        study: optuna.Study,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.draw_offset = zlib.crc32(self.identity.encode()) << 32
        """Added to what seeds a proposal, so that drivers that ask at the same time do not propose the same."""
        self._study = study
        self._timeout_s = timeout_s
        self._former: str | None = None
        self._clock = clock
        self._looked_at = clock()
        self._silences: dict[int, _Silence] = {}
        self._beats = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="nas heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if kind is None or not issubclass(kind, StorageError):
            self._thread.join()
            self._study.set_user_attr(_beat_of(self.identity), _LEFT)

    def replaces(self, former: str | None) -> None:
        """Take it that another driver is gone for good."""
        self._former = former

    def own(self, trial: Trial) -> None:
        """Note on a trial that it runs at this driver."""
        trial.set_user_attr(DRIVER, self.identity)

    def abandoned(self, running: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Return those of the study's running trials whose driver is gone.

        Time is counted by looks: however long this driver itself was held up, another one must have been looked at,
        and found silent, several times.
        """
        now = self._clock()
        step, self._looked_at = min(now - self._looked_at, self._timeout_s / _LOOKS), now
        beats, before, self._silences = self._study.user_attrs, self._silences, {}
        gone = []
        for trial in running:
            owner = trial.user_attrs.get(DRIVER)
            if owner == self.identity:
                continue
            beat = beats.get(_beat_of(owner))
            # A trial that was passed on and taken again has a new number; one that waited, a new start.
            mark = (owner, beat, trial.datetime_start)
            silence = before.get(trial.number)
            if silence is None or silence.mark != mark:
                silence = _Silence(mark)
            else:
                silence.seconds += step
            self._silences[trial.number] = silence
            if silence.seconds >= self._timeout_s or beat == _LEFT or (owner is not None and owner == self._former):
                gone.append(trial)
        return gone

    def _keep_beating(self) -> None:
        while not self._closing.wait(self._timeout_s / (2 * _LOOKS)):
            try:
                self._beat()
            except StorageError as error:
                # The main thread meets the same, and ends the search.
                _logger.debug("No heartbeat: %s", error)
                return

    def _beat(self) -> None:
        self._beats += 1
        self._study.set_user_attr(_beat_of(self.identity), self._beats)


def _beat_of(identity: str | None) -> str:
    return f"{DRIVER}:{identity}"
