"""`Board`: the epochs of a training as event files for TensorBoard, with `pip install "nas[tensorboard]"`."""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import invalid
from nas.training.course import Epoch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class Board:
    """Event files in a folder: a scalar for each number of an epoch, by its name in metrics.csv.

    Args:
        path: Of the folder, which is made with the first epoch; or that of a training which goes on.

    Raises:
        InvalidInputError: If TensorBoard is not installed.
    """

    def __init__(self, path: Path) -> None:
        check_tensorboard()
        self._path = path
        self._writer: SummaryWriter | None = None

    def add(self, epoch: Epoch) -> None:
        """Write an epoch at once."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # What an attempt that was interrupted wrote of this epoch, and of later ones, shall not be shown.
            self._writer = SummaryWriter(str(self._path), purge_step=epoch.epoch)
        for name, value in asdict(epoch).items():
            if name != "epoch":
                self._writer.add_scalar(name, value, epoch.epoch)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def check_tensorboard() -> None:
    """Raise InvalidInputError if TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        rule = "left out where TensorBoard is missing"
        raise invalid("tensorboard", rule, True, 'Run: pip install "nas[tensorboard]"')
