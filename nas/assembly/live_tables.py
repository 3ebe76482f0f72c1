"""Tables that are written while a search goes on."""

import logging
import time

import optuna

from nas.execution.events import Candidate, Event, Retrained, Retraining
from nas.results.folder import RunFolder
from nas.results.manifest import Manifest
from nas.results.write import write_tables

logger = logging.getLogger(__name__)

WRITE_EVERY_S = 10.0
WRITE_FRACTION = 0.02
"""Of the time of a search, what its tables may take while it goes on: those of thousands of trials take seconds."""


class LiveTables:
    """Writes a run's tables while its search goes on, as often as that is cheap."""

    def __init__(self, folder: RunFolder, study: optuna.Study, manifest: Manifest) -> None:
        self._folder, self._study, self._manifest = folder, study, manifest
        self._next = time.monotonic() + WRITE_EVERY_S
        self._has_warned = False
        self._num_retraining = 0

    def on_event(self, event: Event) -> None:
        """Write after a candidate, if it is time; warn once if the ranking is mostly noise.

        While repeats are under way there are too few of them for that: one alone would be wrong in a tenth of searches
        whose spread is twice the noise.
        """
        self._num_retraining += isinstance(event, Retraining) - isinstance(event, Retrained)
        began = time.monotonic()
        if not isinstance(event, Candidate) or began < self._next:
            return
        noise = write_tables(self._folder, self._study, self._manifest).noise
        ended = time.monotonic()
        self._next = ended + max(WRITE_EVERY_S, (ended - began) / WRITE_FRACTION)
        if not self._has_warned and not self._num_retraining and noise is not None and noise.warning is not None:
            self._has_warned = True
            logger.warning("%s", noise.warning)
