"""`python -m nas.report`: a page about a search, also while it runs."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from nas import cli
from nas.config import ReportSettings
from nas.results import load
from nas.results.folder import RunFolder, make_folder
from nas.results.report import require_extra, write_pictures, write_report


def report(settings: ReportSettings, console: Console) -> tuple[Path, list[Path]]:
    """Write the page and, if asked for, the pictures; with `watch` again and again until the search is over.

    Returns:
        The page, and the pictures.

    Raises:
        InvalidInputError: If the run cannot be read, nothing can be written there, or an optional package is missing.
    """
    settings.check()
    require_extra()
    folder = RunFolder.open(settings.run)
    page = (settings.out or folder.path / "report.html").resolve()
    make_folder(page.parent, "out")
    pictures: list[Path] = []
    while True:
        run = load(folder.path)
        finished = run.is_finished
        write_report(run, page, reload_s=None if finished else settings.watch)
        console.print(f"Report of {len(run.trials)} candidates in {cli.short_path(page)}")
        if settings.png is not None:
            make_folder(settings.png, "png")
            pictures = write_pictures(run, settings.png)
            console.print(f"{len(pictures)} pictures in {cli.short_path(settings.png.resolve())}")
        if settings.watch is None or finished:
            return page, pictures
        time.sleep(settings.watch)


def main(args: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    settings = cli.parse(ReportSettings, "python -m nas.report", args)
    page, pictures = report(settings, cli.console(stderr=settings.json))
    if settings.json:
        paths = [str(cli.short_path(path.resolve())) for path in pictures]
        cli.print_json({"report": str(cli.short_path(page)), "pictures": paths})
    return 0


if __name__ == "__main__":
    cli.run(main)
