"""Pieces of the page. Whatever comes in as text is escaped here; what comes out is HTML."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import plotly.graph_objects as go


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], align: str) -> str:
    """Return a table that scrolls sideways by itself where it is too wide; `align` has "l" or "r" a column."""
    sides = [' class="right"' if side == "r" else "" for side in align]

    def cells(values: Sequence[object], tag: str) -> str:
        return "".join(f"<{tag}{s}>{escape(str(v))}</{tag}>" for v, s in zip(values, sides, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    # Reached by the keyboard too, since it may scroll.
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{cells(columns, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def definitions(items: Mapping[str, object]) -> str:
    return (
        "<dl>"
        + "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in items.items())
        + "</dl>"
    )


def tiles(items: Mapping[str, str]) -> str:
    """Return the few numbers that are read first."""
    return (
        '<div class="tiles">'
        + "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in items.items())
        + "</div>"
    )


def chart(name: str, caption: str, figure: go.Figure) -> str:
    """Return the place of a chart, which the page's script draws there; its height is kept free before."""
    return (
        f'<figure><figcaption>{escape(caption)}</figcaption><div class="chart" id="chart-{escape(name)}" '
        f'style="height:{int(figure.layout.height)}px"></div></figure>'
    )


def folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def embedded_json(name: str, text: str) -> str:
    """Return JSON for a script to read; no text in it can end the element or begin a comment."""
    short = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    safe = short.replace("<", r"\u003c")
    return f'<script type="application/json" id="{escape(name)}">{safe}</script>'
