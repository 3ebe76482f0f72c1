"""`CalibrationFolder`: where the files of a calibration lie."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import invalid
from nas.files import replace_file
from nas.results.calibration.evaluations import Evaluation, append_evaluation, mend_evaluations, read_evaluations
from nas.results.calibration.manifest import CalibrationManifest
from nas.results.folder import RUN_LOCK, check_unused, is_locked, locked, make_folder


class CalibrationFolder:
    """A folder that holds a calibration, or is about to. All but the first two files follow from these.

    Make one with `unused` or `open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @classmethod
    def unused(cls, path: str | os.PathLike[str]) -> "CalibrationFolder":
        """Take a path where `make` may make a folder; nothing is written.

        Raises:
            InvalidInputError: If the path holds something, or is no folder.
        """
        folder = cls(Path(path))
        if folder.evaluations_path.exists():
            raise invalid("out", "new", str(path), f"It holds a calibration: go on with it by --resume {path}.")
        check_unused(folder.path, "out", passed_over=(RUN_LOCK,))
        return folder

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "CalibrationFolder":
        """Take a folder that holds a calibration; raise InvalidInputError if it does not."""
        folder = cls(Path(path))
        if not folder.manifest_path.is_file():
            todo = "Give the folder of a nas.calibrate, for example results/NAME."
            raise invalid("calibration", "a folder with a manifest.json", str(path), todo)
        folder.manifest  # noqa: B018 - checks that it can be read
        return folder

    def make(self) -> None:
        """Make the folder if it is not there; raise InvalidInputError where that cannot be done."""
        make_folder(self.path, "out")

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    @property
    def evaluations_path(self) -> Path:
        return self.path / "evaluations.jsonl"

    @property
    def csv_path(self) -> Path:
        return self.path / "calibration.csv"

    @property
    def json_path(self) -> Path:
        return self.path / "calibration.json"

    @property
    def summary_path(self) -> Path:
        return self.path / "summary.md"

    @property
    def plot_path(self) -> Path:
        return self.path / "tau_against_cost.png"

    @property
    def manifest(self) -> CalibrationManifest:
        return CalibrationManifest.load(self.manifest_path)

    def write_manifest(self, manifest: CalibrationManifest) -> None:
        """Write the manifest, which makes the folder a calibration."""
        replace_file(self.manifest_path, manifest.to_json())

    def evaluations(self) -> list[Evaluation]:
        """Return the trainings on record; raise InvalidInputError if they cannot be read."""
        return read_evaluations(self.evaluations_path)

    def add(self, evaluation: Evaluation) -> None:
        """Put a training on record. Hold `lock`."""
        append_evaluation(self.evaluations_path, evaluation)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from working on the calibration, and mend what a killed one has left.

        Raises:
            InvalidInputError: If another process has the lock.
        """
        with locked(self.path, "calibration"):
            mend_evaluations(self.evaluations_path)
            yield

    def is_locked(self) -> bool:
        """Return whether a process works on the calibration."""
        return is_locked(self.path)
