"""Tables as HTML, for notebooks."""

from collections.abc import Iterable, Sequence
from html import escape


def html_table(caption: str, columns: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as HTML; caption and cells may hold any text, which is escaped."""
    lines = [_row("th", columns), *(_row("td", row) for row in rows)]
    return f"<table><caption>{escape(caption)}</caption>{''.join(lines)}</table>"


def _row(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells)}</tr>"
