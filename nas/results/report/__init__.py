"""A page about a run that needs no network, and its charts as pictures. No torch.

`write_report` needs plotly, `write_pictures` matplotlib; both come with `pip install "nas[report]"`.
"""

import importlib.util
from pathlib import Path

from nas.errors import invalid
from nas.results.run import Run

__all__ = ["require_extra", "write_pictures", "write_report"]


def require_extra() -> None:
    """Raise InvalidInputError if plotly or matplotlib is missing."""
    missing = [name for name in ("plotly", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        rule = "one with the packages that draw"
        raise invalid("installation", rule, f"none of {', '.join(missing)}", 'Run: pip install "nas[report]"')


def write_report(run: Run, path: Path, *, reload_s: float | None = None) -> None:
    """Write one HTML file with all that it needs inside; a file that is there is replaced in one step.

    Args:
        run: What to report on; it may be empty or unfinished.
        path: Of the file; its folder is there.
        reload_s: Seconds after which a browser loads the page again; None for never.

    Raises:
        InvalidInputError: If plotly is missing.
    """
    require_extra()
    from nas.files import replace_file
    from nas.results.report.page import page

    replace_file(path, page(run, reload_s=reload_s))


def write_pictures(run: Run, folder: Path) -> list[Path]:
    """Write the charts as PNG files into a folder that is there; charts with nothing to show are left out.

    Returns:
        The files that were written.

    Raises:
        InvalidInputError: If matplotlib is missing.
    """
    require_extra()
    from nas.results.report.pictures import draw

    return draw(run, folder)
