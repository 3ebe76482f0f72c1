"""`CalibrationManifest`: what a calibration was made from and with, the first file that its folder gets."""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nas.errors import invalid
from nas.results.checkout import toolkit_checkout
from nas.results.manifest import hardware, read_plain, space_fingerprint, versions
from nas.space import SearchSpace

KIND = "nas.calibration/1"

# What a resumed calibration must share with what was begun, in words that users know.
_MUST_MATCH = {
    "space": "search space",
    "space_fingerprint": "choices or bounds of the search space",
    "data": "data set",
    "data_fingerprint": "content or split of the data set",
    "num_val_images": "number of validation images",
    "long": "long training",
    "device_kind": "kind of device",
}


@dataclass(frozen=True, slots=True)
class CalibrationManifest:
    """Everything that says what a calibration's numbers are worth.

    Attributes:
        space: Name of the search space.
        space_fingerprint: Changes with the space's choices, fixed values and bounds.
        data: Name or folder of the data set.
        data_fingerprint: Changes with the data set's content and split.
        num_classes: Of the data set.
        in_channels: Channels of its images.
        num_train_images: Of the training split.
        num_val_images: Of the validation split.
        long: The fidelity whose order counts.
        device: Where networks are trained, for example "cpu" or "cuda:0".
        settings: All settings that change what is trained, as plain JSON types.
        command: The command line, quoted for a shell.
        versions: Python's and the packages' versions.
        hardware: Machine, system, processor, number of CPUs, and the device.
        git: Commit and whether there were changes, where the toolkit runs from a checkout; else None.
        created_utc: ISO 8601, UTC.
    """

    space: str
    space_fingerprint: str
    data: str
    data_fingerprint: str
    num_classes: int
    in_channels: int
    num_train_images: int
    num_val_images: int
    long: str
    device: str
    settings: dict[str, Any]
    command: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    git: dict[str, Any] | None
    created_utc: str

    @classmethod
    def collect(
        cls,
        space: SearchSpace,
        *,
        data: str,
        data_fingerprint: str,
        num_classes: int,
        in_channels: int,
        num_train_images: int,
        num_val_images: int,
        long: str,
        device: str,
        settings: Mapping[str, Any],
    ) -> "CalibrationManifest":
        """Describe a calibration that is about to start in this process."""
        return cls(
            space=space.name,
            space_fingerprint=space_fingerprint(space),
            data=data,
            data_fingerprint=data_fingerprint,
            num_classes=num_classes,
            in_channels=in_channels,
            num_train_images=num_train_images,
            num_val_images=num_val_images,
            long=long,
            device=device,
            settings=dict(settings),
            command=shlex.join(sys.orig_argv),
            versions=versions(),
            hardware=hardware(device),
            git=toolkit_checkout(),
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @property
    def device_kind(self) -> str:
        """For example "cuda"."""
        return self.device.partition(":")[0]

    @property
    def costs_processor_time(self) -> bool:
        """Whether a training costs processor seconds; on an accelerator it costs seconds on the clock."""
        return self.device_kind == "cpu"

    def check_compatible(self, other: "CalibrationManifest") -> None:
        """Raise InvalidInputError unless a calibration described by `other` may go on in this one's folder."""
        for name, words in _MUST_MATCH.items():
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                rule = f"as in the calibration that is resumed ({words}: {mine})"
                raise invalid(name, rule, theirs, "Resume with the same, or start a new one with --out.")
        for name in ("networks", "seed"):
            if self.settings[name] != other.settings[name]:
                rule = f"as in the calibration that is resumed ({self.settings[name]})"
                todo = "Other networks would be chosen: start a new calibration with --out."
                raise invalid(name, rule, other.settings[name], todo)

    def to_json(self) -> str:
        return json.dumps({"kind": KIND, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def load(cls, path: Path) -> "CalibrationManifest":
        """Read a manifest.json; raise InvalidInputError if it is none of a calibration."""
        return cls(**read_plain(path, KIND, [f.name for f in fields(cls)], "calibration"))
