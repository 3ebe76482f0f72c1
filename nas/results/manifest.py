"""`Manifest`: what a run was made from and with, the first file that a run folder gets."""

import hashlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from nas.errors import InvalidInputError, did_you_mean, invalid
from nas.evaluation.processor import processor_name
from nas.optimization.storage.address import redacted
from nas.results.checkout import space_checkout, toolkit_checkout
from nas.space import SearchSpace
from nas.spec import ArchSpec

KIND = "nas.run/1"
_PACKAGES = ("nas", "torch", "torchvision", "optuna", "numpy", "pandas", "fvcore", "safetensors")

# What accuracy, relative step time and parameters of two runs must share, so that they can be compared.
_COMPARABLE = (
    "reference",
    "data_fingerprint",
    "num_classes",
    "in_channels",
    "fidelity",
    "step",
    "target_device",
    "target_device_digest",
)

# What a resumed search must share with the run, in words that users know.
_MUST_MATCH = {
    "space": "search space",
    "space_fingerprint": "choices or bounds of the search space",
    "reference": "reference network",
    "data": "data set",
    "data_fingerprint": "content of the data set",
    "num_classes": "number of classes",
    "in_channels": "channels of the images",
    "objective": "objective",
    "fidelity": "fidelity",
    "step": "step that is timed",
    "target_device": "device that step times are predicted for",
    "target_device_digest": "content of the file of the device that step times are predicted for",
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that says what a run's numbers are worth.

    Attributes:
        space: Name of the search space.
        space_fingerprint: Changes with the space's choices, fixed values and bounds.
        reference: The network that relative step times and parameters refer to, as `ArchSpec.to_dict` writes it.
        data: Name or folder of the data set.
        data_fingerprint: Changes with the data set's content.
        num_classes: Of the data set.
        in_channels: Channels of its images.
        objective: What the study optimises, by name.
        fidelity: As `Fidelity` writes it.
        seed: The search's seed.
        settings: All settings as plain JSON types.
        command: The command line, quoted for a shell; without passwords.
        versions: Python's and the packages' versions; packages that are not installed are left out.
        hardware: Machine, system, processor, number of CPUs, and the device.
        git: Commit and whether there were changes, where the toolkit runs from a checkout; else None.
        created_utc: ISO 8601, UTC.
        step: What a timed step is, where it is not the proxy's own training step; "" where it is.
        target_device: Name of the device that step times are predicted for; "" where they are measured.
        target_device_digest: Changes with the content of that device's file.
        calibration: Where the fidelity comes from, and what is known of it (`nas.results.calibration.recommendation`);
            None where it was given.
        space_git: As `git`, of the checkout that the search space's module is kept in; else None.
    """

    space: str
    space_fingerprint: str
    reference: dict[str, Any]
    data: str
    data_fingerprint: str
    num_classes: int
    in_channels: int
    objective: str
    fidelity: str
    seed: int
    settings: dict[str, Any]
    command: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    git: dict[str, Any] | None
    created_utc: str
    step: str = ""
    target_device: str = ""
    target_device_digest: str = ""
    calibration: dict[str, Any] | None = None
    space_git: dict[str, Any] | None = None

    @classmethod
    def collect(
        cls,
        space: SearchSpace,
        *,
        data: str,
        data_fingerprint: str,
        num_classes: int,
        in_channels: int,
        objective: str,
        fidelity: str,
        seed: int,
        settings: Mapping[str, Any],
        device: str,
        step: str = "",
        target_device: str = "",
        target_device_digest: str = "",
    ) -> "Manifest":
        """Describe a run that is about to start in this process; `device` is for example "cpu" or "cuda:0"."""
        return cls(
            space=space.name,
            space_fingerprint=space_fingerprint(space),
            reference=space.reference.to_dict(),
            data=data,
            data_fingerprint=data_fingerprint,
            num_classes=num_classes,
            in_channels=in_channels,
            objective=objective,
            fidelity=fidelity,
            seed=seed,
            settings=dict(settings),
            command=redacted(shlex.join(sys.orig_argv)),
            versions=versions(),
            hardware=hardware(device),
            git=toolkit_checkout(),
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            step=step,
            target_device=target_device,
            target_device_digest=target_device_digest,
            space_git=space_checkout(str(settings.get("space", ""))),
        )

    @property
    def reference_spec(self) -> ArchSpec:
        return ArchSpec.from_dict(self.reference)

    def check_compatible(self, other: "Manifest") -> None:
        """Raise InvalidInputError unless a search described by `other` may go on in this manifest's run.

        Seed, budget, sampler, workers and versions may differ; what makes numbers incomparable may not.
        """
        todo = "Resume with the same, or start a new run with --out."
        self._check_same(other, tuple(_MUST_MATCH), "as in the run that is resumed", todo)

    def check_comparable(self, other: "Manifest") -> None:
        """Raise InvalidInputError unless numbers of this manifest's run can be compared with those of `other`'s.

        The search space, the objective, the sampler and the seed may differ; data, fidelity, what is timed and the
        network that step times and parameters are relative to may not.
        """
        todo = "Numbers of these runs do not compare: search again with what the other had."
        self._check_same(other, _COMPARABLE, "the same in both runs", todo)

    def _check_same(self, other: "Manifest", names: Sequence[str], rule: str, todo: str) -> None:
        mine, theirs = _comparable(self), _comparable(other)
        for name in names:
            if mine[name] != theirs[name]:
                raise invalid(name, f"{rule} ({_MUST_MATCH[name]}: {_short(mine[name])})", theirs[name], todo)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"kind": KIND, **asdict(self)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read what `to_json` wrote.

        Raises:
            InvalidInputError: If the text is not JSON, of another kind, or its keys or their types are wrong.
        """
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise invalid("manifest", "JSON", text[:60], f"It does not parse: {error}.") from error
        return cls.from_dict(plain)

    @classmethod
    def from_dict(cls, found: object) -> "Manifest":
        """Read what `to_dict` wrote; raise InvalidInputError if it is of another kind, or keys or types are wrong."""
        plain: Any = dict(found) if isinstance(found, dict) else found
        kind = plain.pop("kind", None) if isinstance(plain, dict) else None
        if kind != KIND:
            raise invalid("kind of the manifest", repr(KIND), kind, "The folder is of another kind or version.")
        known = {f.name for f in fields(cls)}
        # What has a default came later: runs from before it lack it.
        plain = {f.name: f.default for f in fields(cls) if f.default is not MISSING} | plain
        for key in [*plain, *known]:
            if key not in known or key not in plain:
                raise invalid("manifest keys", "exactly those of a run", key, did_you_mean(key, known))
        for name, expected in _TYPES.items():
            if not isinstance(plain[name], expected) or isinstance(plain[name], bool):
                raise invalid(f"{name} in the manifest", f"of type {expected.__name__}", plain[name], "It was edited.")
        for name in ("git", "space_git"):
            _check_checkout(name, plain[name])
        _check_settings(plain["settings"])
        ArchSpec.from_dict(plain["reference"])
        return cls(**plain)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Manifest":
        """Read a manifest.json; raise InvalidInputError if it is none."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise invalid("manifest", "a readable file", str(path), f"{error}.") from error
        try:
            return cls.from_json(text)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: {error}") from error


def read_plain(path: Path, kind: str, keys: Collection[str], of: str, later: Collection[str] = ()) -> dict[str, Any]:
    """Read a manifest.json that must have certain keys and no others.

    Args:
        path: Of the file.
        kind: What its key "kind" must say; it is taken off.
        keys: All others.
        of: What it is a manifest of, for messages: "calibration".
        later: Those of the keys that manifests of earlier versions may lack.

    Raises:
        InvalidInputError: If it is none of that.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise invalid("manifest", "a readable JSON file", str(path), f"{error}.") from error
    found = plain.pop("kind", None) if isinstance(plain, dict) else None
    if found != kind:
        problem = invalid("kind of the manifest", repr(kind), found, f"The folder is no {of}.")
        raise InvalidInputError(f"{path}: {problem}")
    differing = sorted((set(plain) | {*later}) ^ set(keys))
    if differing:
        raise invalid("manifest keys", f"exactly those of a {of}", differing, f"Correct {path}.")
    checked: dict[str, Any] = plain
    return checked


_TYPES: dict[str, type] = {
    **dict.fromkeys(("space", "space_fingerprint", "data", "data_fingerprint", "objective", "fidelity"), str),
    **dict.fromkeys(("num_classes", "in_channels", "seed"), int),
    **dict.fromkeys(("settings", "versions", "hardware", "reference"), dict),
    **dict.fromkeys(("command", "created_utc", "step", "target_device", "target_device_digest"), str),
}

_SETTING_TYPES: dict[str, tuple[type, ...]] = {
    "budget": (int,),
    "sampler": (str,),
    "storage": (str, type(None)),
    "study": (str, type(None)),
}
"""Of the settings that readers of a run use."""


def _check_checkout(name: str, found: object) -> None:
    if found is None:
        return
    if not isinstance(found, dict) or not isinstance(found.get("commit"), str) or "changed" not in found:
        raise invalid(
            f"{name} in the manifest", "an object with `commit` and `changed`, or null", found, "It was edited."
        )


def _check_settings(settings: Mapping[str, Any]) -> None:
    for name, expected in _SETTING_TYPES.items():
        if name in settings and type(settings[name]) not in expected:
            rule = f"of type {expected[0].__name__}"
            raise invalid(f"{name} in the manifest's settings", rule, settings[name], "It was edited.")


def space_fingerprint(space: SearchSpace) -> str:
    """Return sixteen hexadecimal digits that change with a space's choices, fixed values and bounds."""
    content = [
        [[name, list(values)] for name, values in space.choices.items()],
        sorted(space.fixed.items()),
        asdict(space.bounds),
    ]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:16]


def _comparable(manifest: Manifest) -> dict[str, Any]:
    """Return what must match, with the reference by its identity and size."""
    spec = manifest.reference_spec
    values = {name: getattr(manifest, name) for name in _MUST_MATCH}
    return {**values, "reference": f"{spec.summary} at {spec.train_image_size} pixels, {spec.arch_id}"}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def versions() -> dict[str, str]:
    """Return Python's and the packages' versions; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware(device: str) -> dict[str, Any]:
    """Return machine, system, processor, number of CPUs, and the device, for example "cpu" or "cuda:0"."""
    return {
        "device": device,
        "machine": platform.machine(),
        "system": platform.platform(),
        "processor": processor_name(),
        "num_cpus": os.cpu_count(),
    }
