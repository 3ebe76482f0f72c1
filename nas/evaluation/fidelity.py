"""Fidelity: how much training a candidate gets."""

import re
from dataclasses import dataclass

from nas.errors import invalid

_PATTERN = re.compile(r"(\d{1,12})x(\d{1,12})(?:@(\d{1,12}))?")


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Attributes:
    train_images: Distinct training images; fewer where the data set has fewer.
    epochs: Passes over them.
    image_size: Pixels a side in proxy training and validation; None means the spec's training size.
    """

    train_images: int
    epochs: int
    image_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("train_images", "epochs"):
            if getattr(self, name) < 1:
                raise invalid(name, "at least 1", getattr(self, name), "Correct the fidelity.")
        if self.image_size is not None and self.image_size < 8:
            raise invalid("image_size", "at least 8", self.image_size, "Correct the fidelity.")

    @property
    def images_seen(self) -> int:
        return self.train_images * self.epochs

    def __str__(self) -> str:
        size = f"@{self.image_size}" if self.image_size is not None else ""
        return f"{self.train_images}x{self.epochs}{size}"

    @classmethod
    def parse(cls, text: str) -> "Fidelity":
        """Read "IMAGESxEPOCHS" or "IMAGESxEPOCHS@SIZE", for example "8000x3@32"."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise invalid("fidelity", "IMAGESxEPOCHS or IMAGESxEPOCHS@SIZE", text, 'Write for example "8000x3".')
        images, epochs, size = match.groups()
        return cls(int(images), int(epochs), int(size) if size else None)
