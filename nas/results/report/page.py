"""One HTML page with style, script, library and data inside."""

from datetime import UTC, datetime
from html import escape
from importlib import resources

from plotly.offline import get_plotlyjs

from nas.results.report import elements
from nas.results.report.sections import sections
from nas.results.run import Run

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""Content security policy: a browser loads nothing from anywhere, whatever the page says."""


def page(run: Run, *, reload_s: float | None = None) -> str:
    """Return the page; `reload_s` seconds after loading it a browser loads it again, never if None."""
    parts = sections(run)
    charts = {name: figure for part in parts for name, figure in part.figures.items()}
    title = escape(f"Search of {run.manifest.space} on {run.manifest.data}")
    links = "".join(f'<a href="#{part.name}">{part.title}</a>' for part in parts)
    body = "".join(f'<section id="{part.name}"><h2>{part.title}</h2>{part.content}</section>' for part in parts)
    again = "" if reload_s is None else f'<meta http-equiv="refresh" content="{max(1, round(reload_s))}">'
    data = elements.embedded_json(
        "figures", "{" + ",".join(f'"chart-{name}":{figure.to_json()}' for name, figure in charts.items()) + "}"
    )
    scripts = f"<script>{get_plotlyjs()}</script>{data}<script>{_text('report.js')}</script>" if charts else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">{again}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><link rel="icon" href="data:,"><title>{title}</title>'
        f"<style>{_text('report.css')}</style>"
        f"</head><body><header><h1>{title}</h1>{elements.paragraph(_state(run), 'state')}<nav>{links}</nav></header>"
        f"<main>{body}</main>{scripts}</body></html>\n"
    )


def _state(run: Run) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    wanted = run.budget or "an unknown number of"
    count = len(run.trials)
    done = f"Finished: {count} candidates" if run.is_finished else f"Not finished: {count} of {wanted} candidates"
    return f"{done}. Written {now} from {run.folder.path.name}."


def _text(name: str) -> str:
    return resources.files("nas.results.report").joinpath(name).read_text(encoding="utf-8")
