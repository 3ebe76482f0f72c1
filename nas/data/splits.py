"""Which images of a source are for training, and which for validation."""

import numpy as np

from nas.data.sampling import Indices, split_stratified, stratified_order
from nas.data.sources import Source
from nas.errors import invalid

MAX_DEFAULT_VAL_IMAGES = 6000


def check_classes(source: Source) -> None:
    """Raise unless at least two classes have images, and each of them enough to be in both splits."""
    counts = np.bincount(source.train.labels, minlength=len(source.class_names))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        found = [source.class_names[label] for label in present]
        raise invalid("data", "images of at least two classes", found, "There is nothing to tell apart.")
    smallest = present[counts[present].argmin()]
    if source.val is None and counts[smallest] < 2:
        todo = "One is for training and one for validation; add images or remove the class."
        raise invalid("images of a class", "at least 2", f"1 of {source.class_names[smallest]}", todo)


def split_indices(source: Source, val_images: int | None, seed: int) -> tuple[Indices, Indices]:
    """Return indices into `source.train`, and into `source.val` or else `source.train`; whole groups of either.

    Args:
        source: With the classes that `check_classes` wants.
        val_images: As in `nas.data.load_dataset`, like the seed.
        seed: Of the split.

    Raises:
        InvalidInputError: If there cannot be so many validation images.
    """
    labels, group = source.train.labels, source.train.group_size
    if source.val is not None:
        most = default = len(source.val)
    else:
        most = len(labels) - group * len(np.unique(labels[::group]))
        default = max(group, min(MAX_DEFAULT_VAL_IMAGES, len(labels) // 3) // group * group)
    wanted = default if val_images is None else val_images
    if not 1 <= wanted <= most:
        raise invalid("val_images", f"between 1 and {most} for this data", wanted, "Ask for another number of images.")
    if wanted % group:
        raise invalid("val_images", f"a multiple of {group} for this data", wanted, "Those of a source stay together.")
    if source.val is None:
        kept, held_out = split_stratified(labels[::group], wanted // group, seed)
        return _members(kept, group), _members(held_out, group)
    order = stratified_order(source.val.labels[::group], np.random.default_rng(seed))
    return np.arange(len(labels)), _members(np.sort(order[: wanted // group]), group)


def _members(groups: Indices, size: int) -> Indices:
    """Return the indices of the images in ascending groups of `size`."""
    return (groups[:, None] * size + np.arange(size)).ravel()
