"""Subsets and stratified choices."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.data import Dataset, ImageSet
from nas.data.sampling import split_stratified, stratified_order
from nas.errors import InvalidInputError

Counts = st.lists(st.integers(2, 30), min_size=2, max_size=6)


def labels_of(counts: list[int]) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


def image_set(labels: np.ndarray) -> ImageSet:
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    return ImageSet(images.contiguous(), torch.from_numpy(labels))


@given(counts=Counts, seed=st.integers(0, 50))
def test_every_beginning_of_the_order_has_the_classes_in_their_shares(counts: list[int], seed: int) -> None:
    labels = labels_of(counts)
    order = stratified_order(labels, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(labels)))
    for number in range(1, len(labels) + 1):
        found = np.bincount(labels[order[:number]], minlength=len(counts))
        assert np.abs(found - number * np.array(counts) / len(labels)).max() <= len(counts) / 2 + 0.5


@given(counts=Counts, seed=st.integers(0, 50), data=st.data())
def test_split_is_disjoint_complete_and_keeps_every_class(counts: list[int], seed: int, data: st.DataObject) -> None:
    labels = labels_of(counts)
    number = data.draw(st.integers(1, len(labels) - len(counts)))
    kept, held_out = split_stratified(labels, number, seed)
    assert len(held_out) == number
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert set(labels[kept]) == set(range(len(counts)))


def test_subset_by_number_is_stratified_and_nested() -> None:
    whole = image_set(labels_of([60, 30, 10]))
    small, large = whole.subset(10), whole.subset(50)
    assert small.labels.bincount().tolist() == [6, 3, 1]
    assert large.labels.bincount().tolist() == [30, 15, 5]
    ids = [set(part.images[:, 0, 0, 0].tolist()) for part in (small, large, whole.subset(100))]
    assert ids[0] < ids[1] < ids[2]


def test_subset_by_index_keeps_images_and_labels_together() -> None:
    whole = image_set(labels_of([6, 4]))
    part = whole.subset([7, 2])
    assert part.images[:, 0, 0, 0].tolist() == [7, 2]
    assert part.labels.tolist() == whole.labels[[7, 2]].tolist()


@pytest.mark.parametrize("number", [0, -1, 11])
def test_subset_of_more_than_there_is(number: int) -> None:
    with pytest.raises(InvalidInputError, match="between 1 and 10"):
        image_set(labels_of([6, 4])).subset(number)


def test_a_constant_channel_can_still_be_normalised() -> None:
    flat = ImageSet(torch.zeros(4, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 0, 1, 1]))
    data = Dataset("flat", flat, flat, ("a", "b"), "0" * 16, 0)
    assert data.mean == (0.0,)
    assert data.std[0] > 0
    assert data.to("cpu").mean == data.mean
