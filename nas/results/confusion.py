"""What a classifier takes for what: a confusion matrix, as numbers for each class and as files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from nas.files import replace_file

Counts = npt.NDArray[np.int64]
"""A confusion matrix: images of each true class (rows) by the class that they were taken for (columns)."""

CLASSES_NAME, CONFUSION_NAME = "classes.csv", "confusion.csv"
_MAX_SHOWN, _NUM_WORST = 20, 3


def class_table(counts: Counts, class_names: Sequence[str]) -> pd.DataFrame:
    """Return a row for each class, in the matrix's order.

    Columns; shares are from 0 to 1, and missing where there is nothing to divide by:

    - class: its name,
    - num_images: of the class,
    - recall: share of its images that were recognised; higher is better,
    - recall_stderr: its standard error, that of a binomial distribution,
    - precision: share of its images among those that were taken for it; higher is better,
    - f1: harmonic mean of recall and precision; higher is better,
    - mistaken_for: the other class that most of its images were taken for, the first of equals; missing where none was,
    - mistaken_fraction: the share of its images that were.
    """
    images, taken, right = counts.sum(1), counts.sum(0), np.diag(counts)
    recall = _share(right, images)
    wrong = counts - np.diag(right)
    other = wrong.argmax(1) if counts.size else np.zeros(0, dtype=np.int64)
    most = wrong.max(1, initial=0)
    mistaken_for = [class_names[index] if count else None for index, count in zip(other, most, strict=True)]
    return pd.DataFrame(
        {
            "class": pd.Series(class_names, dtype=object),  # Names of folders need not be text that pandas holds.
            "num_images": images,
            "recall": recall,
            "recall_stderr": np.sqrt(recall * (1 - recall) / np.where(images, images, 1)),
            "precision": _share(right, taken),
            "f1": _share(2 * right, images + taken),
            "mistaken_for": pd.Series(mistaken_for, dtype=object),
            "mistaken_fraction": np.where(most, _share(most, images), np.nan),
        }
    )


def _share(part: Counts, whole: Counts) -> npt.NDArray[np.float64]:
    share = np.full(len(part), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def write_confusion(folder: Path, counts: Counts, class_names: Sequence[str]) -> None:
    """Write classes.csv, the table of `class_table`, and confusion.csv: a row for each true class, whose name is in the
    first column, and a column for each class that images were taken for.
    """
    replace_file(folder / CLASSES_NAME, class_table(counts, class_names).to_csv(index=False, lineterminator="\n"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", *class_names])
    writer.writerows([name, *row] for name, row in zip(class_names, counts.tolist(), strict=True))
    replace_file(folder / CONFUSION_NAME, text.getvalue())


def worst_words(counts: Counts, class_names: Sequence[str]) -> str | None:
    """Return in one line which classes are recognised least; None where that is too many classes to tell, or all are.

    Args:
        counts: The matrix.
        class_names: Up to twenty; of more classes a line does not say enough.
    """
    if len(class_names) > _MAX_SHOWN:
        return None
    worst = class_table(counts, class_names).query("recall < 1").nsmallest(_NUM_WORST, "recall")
    words = [
        f"{row['class']} {row['recall']:.1%} ({row['mistaken_fraction']:.1%} taken for {row['mistaken_for']})"
        for row in worst.to_dict("records")
    ]
    return f"Recognised least: {', '.join(words)}" if words else None
