"""Confusion matrices: numbers for each class, and the files that they are written to."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.results.confusion import class_table, worst_words, write_confusion

NAMES = ("cat", "dog", "owl")
COUNTS = np.array([[8, 2, 0], [3, 6, 1], [0, 0, 0]])


def test_the_numbers_of_a_small_matrix():
    table = class_table(COUNTS, NAMES)
    assert table["class"].tolist() == list(NAMES)
    assert table["num_images"].tolist() == [10, 10, 0]
    assert table["recall"].tolist()[:2] == [0.8, 0.6]
    assert table["precision"].tolist() == [8 / 11, 6 / 8, 0]
    assert table["f1"].tolist() == pytest.approx([2 * 0.8 * (8 / 11) / (0.8 + 8 / 11), 2 * 0.6 * 0.75 / 1.35, 0])
    assert table["recall_stderr"].tolist()[:2] == pytest.approx([(0.16 / 10) ** 0.5, (0.24 / 10) ** 0.5])
    assert table["mistaken_for"].tolist()[:2] == ["dog", "cat"]
    assert table["mistaken_fraction"].tolist()[:2] == [0.2, 0.3]
    assert table.loc[2, ["recall", "recall_stderr", "mistaken_for", "mistaken_fraction"]].isna().all()


matrices = st.integers(1, 6).flatmap(lambda n: arrays(np.int64, (n, n), elements=st.integers(0, 50)))


@settings(max_examples=40)
@given(matrices)
def test_what_holds_of_every_matrix(counts):
    names = [f"class {index}" for index in range(len(counts))]
    table = class_table(counts, names)
    total = counts.sum()
    assert table["num_images"].sum() == total
    for column in ("recall", "precision", "f1", "mistaken_fraction"):
        assert table[column].dropna().between(0, 1).all()
    recognised = (table["recall"] * table["num_images"]).sum()
    assert recognised == pytest.approx(np.trace(counts))
    assert (table["recall"].fillna(0) + table["mistaken_fraction"].fillna(0) <= 1 + 1e-12).all()
    assert (table["mistaken_for"] != table["class"]).all()
    assert table["mistaken_for"].isna().tolist() == (counts.sum(1) == np.diag(counts)).tolist()
    # The names decide nothing: in another order, each class has the same numbers.
    order = np.arange(len(counts))[::-1]
    turned = class_table(counts[np.ix_(order, order)], [names[index] for index in order]).iloc[order]
    columns = ["class", "num_images", "recall", "recall_stderr", "precision", "f1", "mistaken_fraction"]
    pd.testing.assert_frame_equal(turned[columns].reset_index(drop=True), table[columns])


@pytest.mark.parametrize("names", [NAMES, ("class", "a,b", 'say "so"'), ("=1+1", "é", "\ud800")])
def test_files_are_read_back(tmp_path, names):
    write_confusion(tmp_path, COUNTS, names)
    held = [name.encode(errors="backslashreplace").decode() for name in names]
    confusion = pd.read_csv(tmp_path / "confusion.csv", header=None, dtype=str)
    assert confusion.iloc[0].tolist() == ["class", *held]
    assert confusion[0].tolist() == ["class", *held]
    assert (confusion.iloc[1:, 1:].astype(int).to_numpy() == COUNTS).all()
    classes = pd.read_csv(tmp_path / "classes.csv")
    assert classes["class"].tolist() == held
    assert classes["f1"].tolist() == class_table(COUNTS, names)["f1"].tolist()


def test_the_worst_classes_in_a_line():
    assert worst_words(COUNTS, NAMES) == (
        "Recognised least: dog 60.0% (30.0% taken for cat), cat 80.0% (20.0% taken for dog)"
    )
    assert worst_words(np.eye(3, dtype=np.int64), NAMES) is None
    many = np.ones((21, 21), dtype=np.int64)
    assert worst_words(many, list(map(str, range(21)))) is None
