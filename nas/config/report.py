"""Settings of `nas.report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nas.errors import invalid


@dataclass(frozen=True)
class ReportSettings:
    """Write a page about a search that needs no network: the front, the winners, the noise and what it cost.

    A search that goes on can be reported on as well.

    Examples:
        python -m nas.report results/RUN
        python -m nas.report results/RUN --png pictures
        python -m nas.report results/RUN --watch 30
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Run folder of a search."""
    out: Path | None = None
    """HTML file to write, replaced if it is there. By default report.html in the run folder."""
    png: Path | None = None
    """Folder for the charts as PNG files; made if it is not there, files of the same names are replaced."""
    watch: float | None = None
    """Seconds after which all is written anew, until the search is over or Ctrl-C. The page reloads itself as often."""
    json: bool = False
    """Print what was written as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine could make right."""
        if self.watch is not None and not 1 <= self.watch <= 86_400:
            raise invalid("watch", "from 1 to 86400 seconds", self.watch, "Give 30 for twice a minute.")
        if self.out is not None and self.out.is_dir():
            raise invalid("out", "a file", str(self.out), "Give its name too, for example report.html.")
        if self.png is not None and self.png.exists() and not self.png.is_dir():
            raise invalid("png", "a folder", str(self.png), "A file is there: choose another path.")
