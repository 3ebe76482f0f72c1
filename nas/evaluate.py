"""`python -m nas.evaluate`: how good a network that `nas.train` has trained is, class by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nas import cli
from nas.config import EvaluateSettings
from nas.errors import invalid
from nas.results.confusion import class_table, write_confusion
from nas.results.disk import disk_errors
from nas.results.folder import check_unused, make_folder
from nas.results.records import records

if TYPE_CHECKING:
    from nas.training.validation import Judgement
    from nas.training.weights import TrainedNetwork


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Attributes:
    split: Which images: "test", "validation" or "all".
    image_size: Pixels a side that they had.
    class_names: One name an output.
    found: How the network did.
    """

    split: str
    image_size: int
    class_names: tuple[str, ...]
    found: "Judgement"

    def table(self) -> pd.DataFrame:
        """Return `class_table` of all classes."""
        return class_table(self.found.confusion, self.class_names)


def evaluate(settings: EvaluateSettings) -> Evaluated:
    """Measure the network, and write what --out asks for.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written then.
        DiskError: If the disk of --out is full or fails.
    """
    settings.check()
    out = None if settings.out is None else settings.out.resolve()
    if out is not None:
        check_unused(out, "out")
    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    import torch

    from nas.data import load_labelled
    from nas.evaluation.device import resolve_device
    from nas.training.cpu import prepare_cpu
    from nas.training.validation import judge
    from nas.training.weights import load_network

    device = resolve_device(settings.device)
    network = load_network(settings.weights)
    pixels = network.pixels_at(_image_size(settings, network))
    split, images = load_labelled(
        settings.data,
        network.class_names,
        pixels,
        split=settings.split,
        val_images=settings.val_images,
        seed=settings.seed,
    )
    prepare_cpu()
    model = network.model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = judge(model, images.to(device), network.normalise, len(network.class_names), settings.batch_size)
    if out is not None:
        make_folder(out, "out")
        with disk_errors(out, "Free some space, or choose another place with --out."):
            write_confusion(out, found.confusion, network.class_names)
    return Evaluated(split, pixels.size, network.class_names, found)


def _image_size(settings: EvaluateSettings, network: "TrainedNetwork") -> int:
    smallest = network.model.spec.total_stride
    if settings.image_size is not None and settings.image_size < smallest:
        rule = f"at least {smallest}, by which this network divides its images' sides"
        raise invalid("image_size", rule, settings.image_size, "Leave it out for that of the training.")
    return settings.image_size or network.pixels.size


def summary(evaluated: Evaluated, settings: EvaluateSettings) -> dict[str, Any]:
    """Return what `--json` prints: plain JSON types."""
    return {
        "out": None if settings.out is None else str(cli.short_path(settings.out.resolve())),
        "split": evaluated.split,
        "image_size": evaluated.image_size,
        **evaluated.found.validation.to_dict(),
        "classes": records(evaluated.table()),
    }


def report(evaluated: Evaluated, settings: EvaluateSettings, console: Console) -> None:
    """Print accuracy and loss, a row for each class, and where the files are."""
    found = evaluated.found.validation
    name = {"all": "Accuracy on all images", "test": "Test accuracy", "validation": "Validation accuracy"}
    images = f"{found.num_images:,} images at {evaluated.image_size} pixels"
    console.print(
        f"{name[evaluated.split]} {found.accuracy:.2%} ± {found.accuracy_stderr:.2%}, loss {found.loss:.4f} ({images})"
    )
    console.print(as_rich(evaluated.table()))
    if settings.out is not None:
        place = cli.short_path(settings.out.resolve())
        console.print(f"Tables in {place}", markup=False, highlight=False, soft_wrap=True)


def as_rich(table: pd.DataFrame) -> Table:
    """Return `class_table` as people read it."""
    shown = Table("Class", title="Classes")
    for column in ("Images", "Recall", "Precision", "F1"):
        shown.add_column(column, justify="right")
    shown.add_column("Most often taken for")
    for row in table.to_dict("records"):
        recall = "-" if pd.isna(row["recall"]) else f"{row['recall']:.1%} ± {row['recall_stderr']:.1%}"
        precision, f1 = ("-" if pd.isna(row[name]) else f"{row[name]:.1%}" for name in ("precision", "f1"))
        other = "" if pd.isna(row["mistaken_for"]) else f"{row['mistaken_for']} ({row['mistaken_fraction']:.1%})"
        shown.add_row(escape(row["class"]), f"{row['num_images']:,}", recall, precision, f1, escape(other))
    return shown


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    settings = cli.parse(EvaluateSettings, "python -m nas.evaluate", args)
    evaluated = evaluate(settings)
    if settings.json:
        cli.print_json(summary(evaluated, settings))
    else:
        report(evaluated, settings, cli.console())
    return 0


if __name__ == "__main__":
    cli.run(main)
