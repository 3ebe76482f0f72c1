"""`python -m nas.predict`: classify images with a network that `nas.train` has trained."""

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from nas import cli
from nas.config import PredictSettings
from nas.errors import invalid
from nas.results.disk import disk_errors
from nas.results.folder import check_new_file

if TYPE_CHECKING:
    import torch

    from nas.data.encoded import EncodedSplit
    from nas.data.sources import Bytes
    from nas.training.weights import TrainedNetwork


@dataclass(frozen=True, slots=True)
class Prediction:
    """Attributes:
    path: Of the image; of one in a parquet file its row.
    probabilities: One a class, adding up to 1; None where the image could not be used.
    error: Why it could not; empty where it could.
    """

    path: str
    probabilities: tuple[float, ...] | None
    error: str = ""


@dataclass(slots=True)
class Predicted:
    """Attributes:
    class_names: One name a probability.
    counts: How many images were taken for each class.
    num_failed: How many images could not be used.
    """

    class_names: tuple[str, ...]
    counts: Counter[str] = field(default_factory=Counter)
    num_failed: int = 0

    @property
    def num_images(self) -> int:
        return self.counts.total() + self.num_failed


def predict(settings: PredictSettings, on_prediction: Callable[[Mapping[str, Any]], None]) -> Predicted:
    """Classify the images and write the table, or print it where there is neither --out nor --json.

    Args:
        settings: What to classify, and with what.
        on_prediction: Called with each row of the table, in order; cells by their columns' names.

    Raises:
        InvalidInputError: If something that was asked for cannot be used; nothing has been written then.
        DiskError: If the disk of --out is full or fails; likewise.
    """
    settings.check()
    if settings.out is not None:
        check_new_file(settings.out)
    # Torch takes seconds to import: only now, when all that can be checked without it has been.
    from nas.data.unlabelled import find_images
    from nas.evaluation.device import resolve_device
    from nas.training.cpu import prepare_cpu
    from nas.training.weights import load_network

    device = resolve_device(settings.device)
    network = load_network(settings.weights)
    num_classes = len(network.class_names)
    if settings.top is not None and settings.top > num_classes:
        raise invalid("top", f"at most {num_classes}, the classes of these weights", settings.top, "Ask for fewer.")
    images = find_images(settings.path)
    prepare_cpu()
    found = Predicted(network.class_names)
    with _opened(settings) as file:
        table = None if file is None else csv.writer(file, lineterminator="\n")
        if table is not None:
            table.writerow(columns(network.class_names, settings.top))
        for prediction in predictions(network, images, device, settings.batch_size):
            row = as_row(prediction, network.class_names, settings.top)
            if prediction.probabilities is None:
                found.num_failed += 1
            else:
                found.counts[row["class"]] += 1
            if table is not None:
                table.writerow(row.values())
            on_prediction(row)
    return found


def predictions(
    network: "TrainedNetwork", images: "EncodedSplit", device: "torch.device", batch_size: int
) -> Iterator[Prediction]:
    """Yield what a network makes of each image, in order; a bar on stderr shows how far it is."""
    import numpy as np
    import torch

    from nas.data.unlabelled import prepared
    from nas.training.loop import autocast

    model = network.model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def scores(pixels: "list[Bytes]") -> list[list[float]]:
        batch = network.normalise(torch.from_numpy(np.stack(pixels)).to(device))
        with torch.inference_mode(), autocast(device):
            logits = model(batch)
        probabilities: list[list[float]] = logits.double().softmax(1).tolist()
        return probabilities

    with _bar() as bar:
        task = bar.add_task("", total=len(images))
        for batch in prepared(images, network.pixels, batch_size):
            usable = [found for _, found in batch if not isinstance(found, str)]
            answers = iter(scores(usable) if usable else [])
            for name, found in batch:
                if isinstance(found, str):
                    yield Prediction(name, None, found)
                else:
                    yield Prediction(name, tuple(next(answers)))
            bar.advance(task, len(batch))


def columns(class_names: Sequence[str], top: int | None) -> list[str]:
    """Return the names of the table's columns."""
    if top is None:
        return ["path", "class", "probability", *(f"score_{name}" for name in class_names), "error"]
    more = [name for place in range(2, top + 1) for name in (f"class_{place}", f"probability_{place}")]
    return ["path", "class", "probability", *more, "error"]


def as_row(prediction: Prediction, class_names: Sequence[str], top: int | None) -> dict[str, Any]:
    """Return the cells of an image's row by their columns; None where there is nothing to say."""
    names = columns(class_names, top)
    if prediction.probabilities is None:
        return {**dict.fromkeys(names), "path": prediction.path, "error": prediction.error}
    ranked = sorted(zip(prediction.probabilities, class_names, strict=True), key=lambda pair: -pair[0])
    best = [cell for probability, name in ranked[: top or 1] for cell in (name, probability)]
    scores = prediction.probabilities if top is None else ()
    return dict(zip(names, [prediction.path, *best, *scores, None], strict=True))


def _bar() -> Progress:
    console = Console(stderr=True)
    parts = (MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), "ETA", TimeRemainingColumn())
    return Progress(*parts, console=console, disable=not console.is_terminal, transient=True)


@contextmanager
def _opened(settings: PredictSettings) -> Iterator[TextIO | None]:
    """Open what the table goes to; a file is there once all of it has been written."""
    if settings.out is None:
        yield None if settings.json else sys.stdout
        return
    partial = settings.out.with_name(f".{settings.out.name}.partial")
    with disk_errors(settings.out.parent, "Free some space, or choose another place with --out."):
        try:
            with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                yield file
            partial.replace(settings.out)
        finally:
            partial.unlink(missing_ok=True)


def summary(predicted: Predicted, settings: PredictSettings, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what `--json` prints: plain JSON types."""
    return {
        "out": None if settings.out is None else str(cli.short_path(settings.out)),
        "num_images": predicted.num_images,
        "num_failed": predicted.num_failed,
        "classes": {name: predicted.counts[name] for name in predicted.class_names},
        "predictions": list(rows),
    }


def report(predicted: Predicted, settings: PredictSettings, console: Console) -> None:
    """Print how many images were taken for what, and where the table is."""
    counts = ", ".join(f"{count:,} {name}" for name, count in predicted.counts.most_common())
    console.print(f"Images: {predicted.num_images:,} ({counts or 'none classified'})", markup=False, highlight=False)
    if predicted.num_failed:
        console.print(f"{predicted.num_failed:,} could not be used; the column error says why")
    if settings.out is not None:
        console.print(f"Table in {cli.short_path(settings.out)}", markup=False, highlight=False)


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code: 1 where not one image could be used."""
    settings = cli.parse(PredictSettings, "python -m nas.predict", args)
    rows: list[Mapping[str, Any]] = []
    predicted = predict(settings, rows.append if settings.json else lambda _: None)
    if settings.json:
        cli.print_json(summary(predicted, settings, rows))
    report(predicted, settings, cli.console(stderr=settings.json or settings.out is None))
    return 0 if predicted.counts else 1


if __name__ == "__main__":
    cli.run(main)
