"""`--fidelity from:FOLDER`: the fidelity that a calibration recommends, and what is known of it."""

import json
from dataclasses import dataclass, replace
from typing import Any

from nas.errors import invalid
from nas.results.calibration.calibration import KIND
from nas.results.calibration.folder import CalibrationFolder
from nas.results.calibration.manifest import CalibrationManifest
from nas.results.manifest import Manifest

PREFIX = "from:"
_NOTED = ("tau", "tau_low", "tau_high", "spread", "noise", "relative_cost")
_WHAT_TO_DO = "Calibrate with what is searched, or name a fidelity such as 5000x2."


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Attributes:
    fidelity: As `Fidelity` writes it.
    row: What the calibration found out about it; names are those of the columns of calibration.csv.
    folder: Where the calibration lies.
    calibrated: What the calibration was made from.
    """

    fidelity: str
    row: dict[str, Any]
    folder: str
    calibrated: CalibrationManifest

    def note(self, manifest: Manifest) -> Manifest:
        """Return the manifest of a search with this recommendation in it.

        Raises:
            InvalidInputError: If the search is of another space or on other data than the calibration, as far as its
                manifest tells: with another seed, splits differ and contents are not compared.
        """
        for name, words in (("space", "search space"), ("space_fingerprint", "choices or bounds of the search space")):
            self._check(name, words, getattr(manifest, name))
        if manifest.data_fingerprint != self.calibrated.data_fingerprint:
            settings, known = manifest.settings, self.calibrated.settings
            if settings["val_images"] != known["val_images"]:
                rule = f"as in the calibration that fidelity comes from ({known['val_images']})"
                raise invalid("val_images", rule, settings["val_images"], "Noise depends on it. " + _WHAT_TO_DO)
            for name, words in (("data", "data set"), ("num_classes", "classes"), ("in_channels", "channels")):
                self._check(name, words, getattr(manifest, name))
            if settings["seed"] == known["seed"]:
                self._check("data_fingerprint", "content of the data set", manifest.data_fingerprint)
        known = {name: self.row[name] for name in _NOTED}
        return replace(manifest, calibration={"folder": self.folder, "fidelity": self.fidelity, **known})

    def _check(self, name: str, words: str, found: object) -> None:
        wanted = getattr(self.calibrated, name)
        if found != wanted:
            raise invalid(
                name, f"as in the calibration that fidelity comes from ({words}: {wanted})", found, _WHAT_TO_DO
            )


def find_recommendation(fidelity: str) -> Recommendation | None:
    """Return what "from:FOLDER" stands for; None for any other text.

    Raises:
        InvalidInputError: If the folder holds no calibration, or it recommends nothing.
    """
    if not fidelity.startswith(PREFIX):
        return None
    folder = CalibrationFolder.open(fidelity.removeprefix(PREFIX))
    try:
        plain = json.loads(folder.json_path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        todo = f"Write it with: python -m nas.calibrate --report {folder.path}"
        raise invalid("calibration", "one with a readable calibration.json", fidelity, f"{error}. {todo}") from error
    if not isinstance(plain, dict) or plain.get("kind") != KIND:
        todo = f"Write it anew with: python -m nas.calibrate --report {folder.path}"
        raise invalid("calibration.json", f"of kind {KIND!r}", str(folder.json_path), todo)
    row = plain["recommendation"]
    if row is None:
        todo = f"It says: {plain['verdict']} Name a fidelity such as 5000x2 to search all the same."
        raise invalid("fidelity", "from a calibration that recommends one", fidelity, todo)
    return Recommendation(row["name"], row, str(folder.path), folder.manifest)
