"""Data sets by name or path."""

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from nas.data.class_names import label_map
from nas.data.dataset import Dataset, Images, ImageSet, Moments, moments
from nas.data.opening import open_source
from nas.data.rendering import Rendering
from nas.data.sampling import Indices, stratified_order
from nas.data.sources import Decoded, PixelFormat, Source, Split
from nas.data.splits import check_classes, split_indices
from nas.data.streamed import StreamedImages, default_num_workers
from nas.errors import invalid

Loader = Literal["auto", "memory", "stream"]

MAX_DATASET_BYTES = 4 * 2**30
"""Most memory that decoded images may take; of larger sets a stratified subset is used, or they are not held."""

SAMPLE_IMAGES = 2000
"""Training images that say whether all are grey, and their mean and deviation, where images are not held in memory."""

MIN_IMAGE_SIZE = 8
_FINGERPRINT_VERSION = 1

_log = logging.getLogger(__name__)


def load_dataset(
    name_or_path: str,
    *,
    image_size: int | None = None,
    val_images: int | None = None,
    seed: int = 0,
    download: bool = True,
    rendering: Rendering | None = None,
    loader: Loader = "memory",
    num_workers: int | None = None,
) -> Dataset:
    """Load what a search may see of a data set: training and validation images; the test split is never read.

    Where the source has no validation split, one is taken from the training images, classes in their shares. Images
    that cannot be decoded, or cropped, are skipped up to `nas.data.encoded.MAX_CORRUPT_FRACTION`.

    Args:
        name_or_path: One of `DATASET_NAMES`; an image folder (train/ and val/, or a subfolder for each class); or a
            parquet file or folder in Hugging Face's form. "crop:" before it: images are cropped, not resized. "blur:"
            before it: blurred and sharp crops of any images (`nas.data.blur`), which need no classes.
        image_size: Pixels a side, at least 8; None leaves images as they are, if all are equal and square.
        val_images: Validation images, with "blur:" an even number; None means all of the source's own validation split,
            or else a third of the training images, at most 6,000.
        seed: Seed of the split.
        download: Whether a published data set may be downloaded.
        rendering: How fashion-hard is rendered, where not by default.
        loader: "memory": all images are decoded now, or a subset where they would take over `MAX_DATASET_BYTES`.
            "stream": none are; they are decoded each time they are asked for (`nas.data.streamed`), at the size that
            is needed. "auto": training images are streamed only where the set would not fit, and validation images
            where they would take over a quarter of that.
        num_workers: Processes that decode streamed images, 0 for this one; None: one less than there are cores.

    Raises:
        InvalidInputError: If the source, an image, a label or an argument is not usable.
    """
    if seed < 0:
        raise invalid("seed", "0 or more", seed, "Choose another.")
    source = open_source(name_or_path, with_test=False, download=download, rendering=rendering)
    check_classes(source)
    train_indices, val_indices = split_indices(source, val_images, seed)
    if _streams(source.train, len(train_indices) + len(val_indices), image_size, loader):
        workers = default_num_workers() if num_workers is None else num_workers
        return _streamed(name_or_path, source, train_indices, val_indices, _Streaming(image_size, loader, workers))
    pixels = _pixel_format(source, image_size)
    # Of a set that is too large, validation gets at most a quarter.
    room = MAX_DATASET_BYTES // pixels.image_bytes
    val_split = source.val or source.train
    val_indices = _at_most(max(1, room // 4), val_split, val_indices, seed, "validation")
    train_indices = _at_most(max(1, room - len(val_indices)), source.train, train_indices, seed, "training")
    train = source.train.decode(train_indices, pixels)
    val = val_split.decode(val_indices, pixels)
    num_skipped = train.num_skipped + val.num_skipped
    _warn_of_skipped(name_or_path, num_skipped, pixels)
    return Dataset(
        name_or_path,
        _image_set(train),
        _image_set(val),
        source.class_names,
        _fingerprint(source.class_names, pixels, train.digest + val.digest),
        num_skipped,
        source.cropped,
    )


def load_test(
    name_or_path: str,
    *,
    image_size: int | None = None,
    download: bool = True,
    loader: Loader = "memory",
    num_workers: int | None = None,
    channels: int | None = None,
) -> Images | None:
    """Load the test split, for networks that have been chosen already; None where the source has none.

    Arguments and errors are those of `load_dataset`; `channels` are the data set's where it was streamed.
    """
    source = open_source(name_or_path, with_test=True, download=download)
    if source.test is None:
        return None
    if _streams(source.test, len(source.test), image_size, loader):
        workers = default_num_workers() if num_workers is None else num_workers
        source.test.prepare_to_fetch()
        pixels = _pixel_format(source, image_size, channels)
        test = StreamedImages(source.test, np.arange(len(source.test)), pixels, workers, fills=False)
        _sampled(test)
        return test
    pixels = _pixel_format(source, image_size)
    room = max(1, MAX_DATASET_BYTES // pixels.image_bytes)
    indices = _at_most(room, source.test, np.arange(len(source.test)), 0, "test")
    decoded = source.test.decode(indices, pixels)
    _warn_of_skipped(name_or_path, decoded.num_skipped, pixels, "test images")
    return _image_set(decoded)


def load_labelled(
    name_or_path: str,
    class_names: tuple[str, ...],
    pixels: PixelFormat,
    *,
    split: Literal["test", "validation", "all"] | None = None,
    val_images: int | None = None,
    seed: int = 0,
) -> tuple[str, ImageSet]:
    """Load images that a trained network is to be judged on, and say which split they are.

    Args:
        name_or_path: As in `load_dataset`.
        class_names: Of the network, one an output: labels are returned in this order, whatever order the source has.
        pixels: How the network wants its images.
        split: "validation" is that of `load_dataset`, with the same `val_images` and seed. "all" is every image, those
            of all splits. None is "test" where the source has one, else "validation".
        val_images: As in `load_dataset`.
        seed: Likewise.

    Raises:
        InvalidInputError: As `load_dataset`; or if the source has other classes, not that split, or images that do not
            become what the network wants.
    """
    source = open_source(name_or_path, with_test=split != "validation", download=True)
    labels = torch.from_numpy(label_map(source.class_names, class_names))
    if source.cropped and not pixels.crop:
        todo = "These weights are of resized images: leave out crop:, or take other weights."
        raise invalid("data", "resized, as in training", name_or_path, todo)
    if split is None:
        split = "validation" if source.test is None else "test"
    decoded = [part.decode(indices, pixels) for part, indices in _judged(source, split, pixels, val_images, seed)]
    images = np.concatenate([each.images for each in decoded])
    if images.shape[1] != pixels.channels:  # Files are converted; arrays are what they are.
        rule = f"images of {pixels.channels} channels, as in training"
        raise invalid("data", rule, f"{images.shape[1]}", "Take weights that were trained on such images.")
    _warn_of_skipped(name_or_path, sum(each.num_skipped for each in decoded), pixels)
    found = labels[torch.from_numpy(np.concatenate([each.labels for each in decoded]))]
    return split, ImageSet(torch.from_numpy(np.ascontiguousarray(images)), found)


def _judged(
    source: Source, split: str, pixels: PixelFormat, val_images: int | None, seed: int
) -> list[tuple[Split, Indices]]:
    """Return the splits that a network is judged on, and which of their images, as many as memory has room for."""
    room = max(1, MAX_DATASET_BYTES // pixels.image_bytes)
    if split == "validation":
        check_classes(source)
        _, indices = split_indices(source, val_images, seed)
        val = source.val or source.train
        return [(val, _at_most(max(1, room // 4), val, indices, seed, "validation"))]
    if split == "test" and source.test is None:
        raise invalid("split", "one that the data have", "test", "Choose --split validation, or all.")
    parts = [source.test] if split == "test" else [source.train, source.val, source.test]
    found = [part for part in parts if part is not None and len(part)]
    total = sum(map(len, found))
    if not total:
        raise invalid("data", "images to judge by", "none", "Put some in it.")
    return [(part, _at_most(max(1, room * len(part) // total), part, np.arange(len(part)), 0, split)) for part in found]


@dataclass(frozen=True, slots=True)
class _Streaming:
    """What is asked for where not all images are held: `load_dataset` says what these are."""

    image_size: int | None
    loader: Loader
    num_workers: int


def _streams(split: Split, num_images: int, image_size: int | None, loader: Loader) -> bool:
    """Return whether images are not to be held in memory."""
    if loader == "memory":
        return False
    if image_size is None:
        raise invalid("image_size", "given where images may be streamed", None, "Choose one.")
    if loader == "stream":
        return True
    channels = split.channels(np.arange(min(100, len(split))))  # All of a million headers would take minutes.
    return num_images * channels * image_size**2 > MAX_DATASET_BYTES


def _streamed(name: str, source: Source, train_indices: Indices, val_indices: Indices, how: _Streaming) -> Dataset:
    """Return a data set whose training images are decoded as they are asked for, and perhaps those for validation."""
    source.train.prepare_to_fetch()
    order = stratified_order(source.train.labels[train_indices], np.random.default_rng(0))
    channels = source.train.channels(train_indices[np.sort(order[:SAMPLE_IMAGES])])
    pixels = _pixel_format(source, how.image_size, channels)
    train = StreamedImages(source.train, train_indices, pixels, how.num_workers, fills=True)
    sampled = _sampled(train)
    val_split, num_skipped = source.val or source.train, 0
    if how.loader == "auto" and len(val_indices) * pixels.image_bytes <= MAX_DATASET_BYTES // 4:
        decoded = val_split.decode(val_indices, pixels)
        val: Images = _image_set(decoded)
        num_skipped = decoded.num_skipped
        _warn_of_skipped(name, num_skipped, pixels)
    else:
        val_split.prepare_to_fetch()
        val = StreamedImages(val_split, val_indices, pixels, how.num_workers, fills=False)
        _sampled(val)
    listing = source.train.listing(train_indices) + val_split.listing(val_indices)
    fingerprint = _fingerprint(source.class_names, pixels, b"listing" + listing)
    return Dataset(name, train, val, source.class_names, fingerprint, num_skipped, source.cropped, sampled)


def _sampled(images: StreamedImages) -> Moments:
    """Return mean and standard deviation of a sample; raise InvalidInputError if too much of it is of no use."""
    sample = images.sample(SAMPLE_IMAGES)
    return moments(batch for batch, _ in sample.batches(torch.split(torch.arange(len(sample)), 64)))


def _warn_of_skipped(name: str, num_skipped: int, pixels: PixelFormat, kind: str = "images") -> None:
    if num_skipped:
        what = "corrupt or too small" if pixels.crop else "corrupt"
        _log.warning("%s: skipped %d %s %s", name, num_skipped, what, kind)


def _pixel_format(source: Source, image_size: int | None, channels: int | None = None) -> PixelFormat:
    if image_size is not None and image_size < MIN_IMAGE_SIZE:
        raise invalid("image_size", f"at least {MIN_IMAGE_SIZE}", image_size, "Choose a larger size.")
    size = image_size if image_size is not None else source.train.own_size()
    resize = image_size is not None and not source.cropped
    return PixelFormat(channels or source.train.channels(), size, resize=resize, crop=source.cropped)


def _at_most(limit: int, split: Split, indices: Indices, seed: int, kind: str) -> Indices:
    """Return the indices, or a stratified choice of about `limit` of them, whole groups."""
    if len(indices) <= limit:
        return indices
    groups = indices.reshape(-1, split.group_size)
    limit = max(1, limit // split.group_size) * split.group_size
    _log.warning(
        "using %d of %d %s images: more would take over %.1f GiB of memory",
        limit,
        len(indices),
        kind,
        MAX_DATASET_BYTES / 2**30,
    )
    order = stratified_order(split.labels[groups[:, 0]], np.random.default_rng(seed))
    return groups[np.sort(order[: limit // split.group_size])].ravel()


def _fingerprint(class_names: tuple[str, ...], pixels: PixelFormat, content: bytes) -> str:
    """Hash what the images are made from, not their pixels: decoders and resizing may differ in the last bit."""
    how = "crop" if pixels.crop else pixels.resize
    header = json.dumps([_FINGERPRINT_VERSION, class_names, pixels.channels, pixels.size, how])
    return hashlib.sha256(header.encode() + content).hexdigest()[:16]


def _image_set(decoded: Decoded) -> ImageSet:
    return ImageSet(torch.from_numpy(np.ascontiguousarray(decoded.images)), torch.from_numpy(decoded.labels))
