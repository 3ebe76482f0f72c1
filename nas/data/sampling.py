"""Seeded, stratified choices among labelled images."""

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def stratified_order(labels: npt.NDArray[np.integer], rng: np.random.Generator) -> Indices:
    """Return all indices in an order of which every beginning holds the classes in nearly their shares.

    The k-th of a class's n images, in random order, stands at (k + 1/2) / n of the whole; ties are broken at random.
    """
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, counts = np.unique(labels, return_counts=True)
    position = np.concatenate([(np.arange(n) + 0.5) / n for n in counts]) if len(counts) else np.empty(0)
    tie_break = rng.random(len(labels))
    return by_class[np.lexsort((tie_break, position))]


def split_stratified(labels: npt.NDArray[np.integer], num_held_out: int, seed: int) -> tuple[Indices, Indices]:
    """Split indices into those kept and `num_held_out` held out, each ascending, classes in nearly their shares.

    Of every class at least one image is kept, so at most `len(labels)` minus the number of classes can be held out.
    """
    order = stratified_order(labels, np.random.default_rng(seed))
    _, from_the_end = np.unique(labels[order[::-1]], return_index=True)
    last_of_class = len(order) - 1 - from_the_end
    held_out = np.delete(order, last_of_class)[:num_held_out]
    return np.setdiff1d(np.arange(len(labels)), held_out), np.sort(held_out)
