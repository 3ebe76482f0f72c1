"""Images that stay encoded on disk, and are decoded by other processes while a network trains on those before them."""

import copy
import ctypes
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from nas.data.dataset import Batches, Images, ImageSet
from nas.data.encoded import MAX_CORRUPT_FRACTION, UNREADABLE, check_skipped, reason
from nas.data.sampling import Indices
from nas.data.sources import Bytes, PixelFormat, Split, TooSmallError
from nas.errors import WorkerLostError

_log = logging.getLogger(__name__)

_CHUNK = 64
"""Most images that a process decodes before it hands them over: large batches are made of several such parts, so that
they neither wait for one process nor fill the memory with batches ahead."""
_PR_SET_PDEATHSIG = 1  # Of Linux's prctl(2).

Skipped = dict[int, tuple[str, Exception]]
"""Names of images that cannot be used, and what is wrong, by index into their split."""

_Request = tuple[int | None, list[int]]
_Part = tuple[Tensor, Tensor, Skipped]


def default_num_workers() -> int:
    """Return the processor's cores that this process may use but one, which trains; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)


@dataclass(frozen=True)
class _Reader(torch_data.Dataset[_Part]):
    """Decodes images in a process of their own; what it holds goes there once.

    Attributes:
        split: That images are fetched from.
        indices: Of the set's images in the split.
        pixels: What is made of them.
        fills: Whether another image takes the place of one that cannot be used.
        max_skipped: How many of those there may be.
    """

    split: Split
    indices: Indices
    pixels: PixelFormat
    fills: bool
    max_skipped: int

    def __getitem__(self, request: _Request) -> _Part:
        image_size, positions = request
        pixels = self.pixels
        if image_size is not None and image_size < pixels.size and pixels.resize:
            # Small images of early stages are to take little time: by grey values they differ by about 1 of 255.
            pixels = replace(pixels, size=image_size, margin=1)
        skipped: Skipped = {}
        found = [one for position in positions if (one := self._fetched(position, pixels, skipped)) is not None]
        images = np.empty((len(found), pixels.channels, pixels.size, pixels.size), dtype=np.uint8)
        for place, (_, image) in enumerate(found):
            images[place] = image
        used = np.array([index for index, _ in found], dtype=np.int64)
        return torch.from_numpy(images), torch.from_numpy(self.split.labels[used]), skipped

    def _fetched(self, position: int, pixels: PixelFormat, skipped: Skipped) -> tuple[int, Bytes] | None:
        """Return an image and its index in the split; or the next that can be used; or None if there is none."""
        # If so many in a row are of no use, there are too many of them, and whoever asked ends everything.
        num_tries = 1 + self.max_skipped if self.fills else 1
        for step in range(min(num_tries, len(self.indices))):
            index = int(self.indices[(position + step) % len(self.indices)])
            if index in skipped:
                continue
            try:
                return index, self.split.fetch(index, pixels)
            except TooSmallError as error:
                skipped[index] = self.split.name(index), error
            except UNREADABLE as error:
                skipped[index] = self.split.name(index), OSError(reason(error))  # Not all of Pillow's can travel.
        return None


class StreamedImages(Images):
    """Images that are decoded each time they are asked for.

    One that cannot be decoded is left out of its batch; or, where `fills` is set, the next one that can be takes its
    place, so that batches keep their size. Which one does not depend on what was read before.

    Args:
        split: Where they come from; `prepare_to_fetch` has been called.
        indices: Which of its images these are.
        pixels: At the size of the set.
        num_workers: Processes that decode; 0 for this one.
        fills: Whether batches keep their size.
        device: That batches are brought to.

    Attributes:
        skipped: Images that were of no use so far, of parts of this and of the same on other devices too.
    """

    def __init__(
        self,
        split: Split,
        indices: Indices,
        pixels: PixelFormat,
        num_workers: int,
        *,
        fills: bool,
        device: torch.device | str = "cpu",
    ) -> None:
        self._reader = _Reader(split, indices, pixels, fills, int(MAX_CORRUPT_FRACTION * len(indices)))
        self._whole, self._slack = len(indices), 1.0
        self.labels = torch.from_numpy(split.labels[indices]).to(device)
        self.num_workers = num_workers
        self.skipped: Skipped = {}

    @property
    def channels(self) -> int:
        return self._reader.pixels.channels

    @property
    def image_size(self) -> int:
        return self._reader.pixels.size

    def to(self, device: torch.device | str) -> "StreamedImages":
        moved = copy.copy(self)
        moved.labels = self.labels.to(device)
        return moved

    def sample(self, num_images: int) -> "StreamedImages":
        """Return a stratified sample, or all if it is no less, that counts for itself which images are of no use.

        By chance they may be more in it than of all; so there may be twice as many.
        """
        part = self.subset(num_images) if num_images < len(self) else self
        assert isinstance(part, StreamedImages), "a part of this"
        if part is not self:
            part._whole, part._slack, part.skipped = len(part), 2.0, {}
        return part

    def _some(self, indices: Tensor) -> "StreamedImages":
        part = copy.copy(self)
        part._reader = replace(self._reader, indices=self._reader.indices[indices.cpu().numpy()])
        part.labels = self.labels[indices]
        return part

    def held(self) -> ImageSet:
        parts = list(self.batches(torch.split(torch.arange(len(self)), _CHUNK)))
        return ImageSet(torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts]))

    def batches(self, chosen: Iterable[Tensor], image_size: int | None = None) -> Batches:
        lists = [indices.cpu() for indices in chosen]
        if not lists:
            return
        parts = self._parts(lists, image_size)
        for indices in lists:
            found = [next(parts) for _ in range(math.ceil(len(indices) / _CHUNK))]
            images, labels = zip(*found, strict=True)
            if any(map(len, labels)):
                yield (images[0], labels[0]) if len(found) == 1 else (torch.cat(images), torch.cat(labels))

    def _parts(self, lists: list[Tensor], image_size: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what batches are made of, on the device."""
        device = self.device
        loader = torch_data.DataLoader(
            self._reader,
            batch_size=None,
            sampler=_Requests(lists, image_size),
            num_workers=min(self.num_workers, sum(math.ceil(len(indices) / _CHUNK) for indices in lists)),
            collate_fn=_as_it_is,
            pin_memory=device.type == "cuda",
            worker_init_fn=_end_with_parent,
            # One of its own: a loader draws a seed, which must not take a random number from the training.
            generator=torch.Generator(),
        )
        with _interrupts_held_back():
            parts = iter(loader)
        for images, labels, skipped in parts:
            if skipped:
                self.skipped.update(skipped)
                check_skipped(list(self.skipped.values()), self._whole, self._slack)
            yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def warn_of_skipped(*sets: Images | None) -> None:
    """Log how many images were of no use, of sets that were streamed."""
    found = [one for images in sets if isinstance(images, StreamedImages) for one in images.skipped.values()]
    if found:
        name, error = found[0]
        _log.warning("%d images could not be used, among them %s: %s", len(found), name, error)


@dataclass(frozen=True)
class _Requests(torch_data.Sampler[_Request]):
    """What workers are asked for, one request after the other."""

    lists: list[Tensor]
    image_size: int | None

    def __iter__(self) -> Iterator[_Request]:
        for indices in self.lists:
            for part in torch.split(indices, _CHUNK):
                yield self.image_size, part.tolist()


def _as_it_is(part: Any) -> Any:
    return part


def _end_with_parent(_: int) -> None:
    """Have the system end this process with the one that trains, at once: it holds that one's lock on its folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Start processes that never see Ctrl-C, which a terminal sends to all: the one that trains ends them.

    One that comes meanwhile takes effect afterwards. The processes inherit the mask. It does not hold for other threads
    of this one: what they are sent Python would raise here, maybe in a hook around a fork, which passes errors over.
    """
    held: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    replaced = handler is not None and threading.current_thread() is threading.main_thread()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if replaced:
        signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        if replaced:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if held:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def lost_workers_told() -> Iterator[None]:
    """Turn PyTorch's error for a process that ended into one line.

    Raises:
        WorkerLostError: If a process that decodes images was ended, which may be found out at any moment.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        words = " ".join(str(error).split()).rstrip(".")
        todo = "Go on with --resume; where memory is scarce, with fewer --num-workers, or 0."
        raise WorkerLostError(f"A process that decodes images was lost: {words}. {todo}") from error
