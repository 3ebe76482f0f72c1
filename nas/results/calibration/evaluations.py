"""The trainings of a calibration: a file to which one line of JSON is added for each that ended."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from nas.errors import InvalidInputError, did_you_mean, invalid

logger = logging.getLogger(__name__)

Role = Literal["proxy", "long"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One training of one network.

    Attributes:
        network: The network's number in the calibration, from 0 where it chose them itself.
        arch_id: Of the network.
        arch: The network, as `ArchSpec.to_dict` writes it.
        role: "proxy" for a training by the proxy's recipe, "long" for one by that of `nas.train`.
        fidelity: As `Fidelity` writes it.
        seed: Of initialisation, data order and augmentation; the same for all networks.
        accuracy: Top-1 on the validation split, 0 to 1; higher is better. None of a failed training, as what follows.
        val_loss: Mean cross-entropy there; lower is better.
        num_val_images: How many images both are of.
        train_cpu_s: Processor seconds of training and validation.
        wall_s: Seconds on the clock.
        fail_reason: Why the training failed; None if it did not.
    """

    network: int
    arch_id: str
    arch: dict[str, Any]
    role: Role
    fidelity: str
    seed: int
    accuracy: float | None
    val_loss: float | None
    num_val_images: int | None
    train_cpu_s: float | None
    wall_s: float | None
    fail_reason: str | None = None

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells one training from another."""
        return self.arch_id, self.role, self.fidelity, self.seed

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Evaluation":
        """Read one line; raise InvalidInputError if it is none of this version."""
        known = {f.name for f in fields(cls)}
        required = {f.name for f in fields(cls) if f.default is MISSING}
        for key in [*plain, *sorted(required)]:
            if key not in known or key not in plain:
                raise invalid("keys of an evaluation", "exactly those of this version", key, did_you_mean(key, known))
        if plain["role"] not in ("proxy", "long"):
            raise invalid("role", "proxy or long", plain["role"], "Correct the line.")
        return cls(**plain)


def append_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Add a line, which is on the disk when this returns."""
    with path.open("ab") as file:
        file.write(json.dumps(asdict(evaluation), allow_nan=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_evaluations(path: Path) -> list[Evaluation]:
    """Return the trainings on record, of those with one key the last. A torn last line is passed over.

    Raises:
        InvalidInputError: If another line cannot be read.
    """
    found: dict[tuple[str, str, str, int], Evaluation] = {}
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            plain = json.loads(line)
            if not isinstance(plain, dict):
                raise ValueError("it is no object")
            evaluation = Evaluation.from_dict(plain)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}, line {number}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise invalid(f"line {number}", "JSON", line[:60], f"Correct {path}: {error}.") from error
        found[evaluation.key] = evaluation
    return list(found.values())


def mend_evaluations(path: Path) -> None:
    """Cut off a line without an end, which a kill or a full disk has left: its training is done again."""
    whole = sum(len(line) + 1 for line in _whole_lines(path))
    if path.exists() and path.stat().st_size > whole:
        logger.warning("The end of %s was torn and has been cut off.", path)
        os.truncate(path, whole)


def _whole_lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
