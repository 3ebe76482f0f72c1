"""`TrainingManifest`: what a training was made from and with, the first file that its folder gets."""

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
from nas.results.manifest import hardware, read_plain, versions

KIND = "nas.training/1"

MANIFEST = "manifest.json"
"""Its name in the folder of a training."""


@dataclass(frozen=True, slots=True)
class TrainingManifest:
    """Attributes:
    settings: All that change what is trained, as plain JSON types.
    data_fingerprint: Changes with the data set's content and split.
    command: The command line, quoted for a shell.
    versions: Python's and the packages' versions.
    hardware: Machine, system, processor, number of CPUs, the device, and the number of processes that train together.
    git: Commit and whether there were changes, where the toolkit runs from a checkout; else None.
    created_utc: ISO 8601, UTC.
    start: Path and fingerprint of the weights that it started from, and their network's options; None: from scratch.
    """

    settings: dict[str, Any]
    data_fingerprint: str
    command: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    git: dict[str, Any] | None
    created_utc: str
    start: dict[str, Any] | None = None

    @classmethod
    def collect(
        cls,
        settings: Mapping[str, Any],
        data_fingerprint: str,
        device: str,
        *,
        num_processes: int = 1,
        start: dict[str, Any] | None = None,
    ) -> "TrainingManifest":
        """Describe a training that is about to start in this process; `device` is for example "cpu" or "cuda:0"."""
        return cls(
            settings=dict(settings),
            data_fingerprint=data_fingerprint,
            command=shlex.join(sys.orig_argv),
            versions=versions(),
            hardware={**hardware(device), "num_processes": num_processes},
            git=toolkit_checkout(),
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            start=start,
        )

    def check_compatible(self, other: "TrainingManifest") -> None:
        """Raise InvalidInputError unless a training described by `other` may go on from this one's checkpoint."""
        todo = "Resume with the same, or start a new training with --out."
        for name, value in other.settings.items():
            if self.settings.get(name) != value:
                raise invalid(name, f"as in the training that is resumed ({self.settings.get(name)})", value, todo)
        if self.data_fingerprint != other.data_fingerprint:
            rule = f"as in the training that is resumed (content or split of the data set: {self.data_fingerprint})"
            raise invalid("data_fingerprint", rule, other.data_fingerprint, todo)

    def to_json(self) -> str:
        return json.dumps({"kind": KIND, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def load(cls, path: Path) -> "TrainingManifest":
        """Read a manifest.json; raise InvalidInputError if it is none of a training."""
        plain = read_plain(path, KIND, [f.name for f in fields(cls)], "training", later=("start",))
        start = plain.get("start")
        if start is not None and not (isinstance(start, dict) and {*start} == {"path", "fingerprint", "options"}):
            raise invalid("start in the manifest", "path, fingerprint and options", start, "The file was edited.")
        return cls(**plain)
