"""`Launch`: which of the processes of one training this is, as torchrun says in the environment; needs no torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from nas.errors import invalid

_IMAGES_A_PROCESS = 2


@dataclass(frozen=True, slots=True)
class Launch:
    """Attributes:
    rank: Of this process, from 0.
    local_rank: Of this process among those of its machine, from 0.
    size: Processes in all.
    """

    rank: int = 0
    local_rank: int = 0
    size: int = 1

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> "Launch":
        """Return what torchrun says of this process; without torchrun it is the only one."""
        if "TORCHELASTIC_RUN_ID" not in environment:  # Others set WORLD_SIZE and mean something else.
            return cls()
        return cls(*(int(environment[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")))

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes, prints and validates."""
        return self.rank == 0

    def check_images(self, name: str, num_images: int, parts: int = 1) -> None:
        """Raise InvalidInputError unless each process gets two images in each part of so many, called `name`."""
        least = _IMAGES_A_PROCESS * self.size * parts
        if self.size > 1 and num_images < least:
            rule = f"at least {least} with {self.size} processes" + (f" and {parts} parts" if parts > 1 else "")
            raise invalid(name, rule, num_images, "Each takes its share of every batch: start fewer of them.")

    def num_parts(self, most: int, num_images: int) -> int:
        """Return in how many parts, `most` at most, a batch is computed: each process has two images in each."""
        return max(1, min(most, num_images // (_IMAGES_A_PROCESS * self.size)))
