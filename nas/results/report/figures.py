"""The charts of the page, as plotly figures.

Backgrounds are transparent; text and grid get their colours from the page's style sheet, which knows light, dark and
print. Every text that came from the run is escaped, since plotly reads texts as a little HTML.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from nas.models.tables import STAGE_COLUMNS, short_count, stage_rows
from nas.results.report import facts
from nas.results.report.colours import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION
from nas.results.run import Run

MAX_POINTS = 1_000
"""Candidates on the front, and off it, that are drawn at most, an even choice of them: the page must stay small."""
_MAX_STAGE_TABLES = 200

_AXES = {"relative_step_time": "Relative step time", "num_params": "Parameters", "num_macs": "Multiply-adds"}


def planes(run: Run) -> dict[str, str]:
    """Return the costs that accuracy is shown against, and the titles of their axes."""
    return {cost: _AXES[cost] for cost in run.objectives if cost != "accuracy"}


def front_label(run: Run) -> str:
    """Return what the front is called."""
    return f"Front of {'two' if len(run.objectives) == 2 else 'three'} objectives"


def best_label(run: Run) -> str:
    """Return what the best candidate is called."""
    return "Best reward (S)" if run.best_by == "reward" else "Most accurate (S)"


def front(run: Run, cost: str) -> go.Figure:
    """Draw accuracy (higher is better) against a cost (lower is better), on a logarithmic axis, with error bars."""
    rows = facts.measured(run)
    chosen = _thinned(run.pareto)
    rest = _thinned(rows[~rows["number"].isin(run.pareto["number"])])
    edge = facts.plane_front(run, cost)
    best = run.best
    known = facts.references(run)
    figure = _figure(_AXES[cost], "Accuracy")
    figure.add_scatter(
        x=edge[cost].astype(float), y=edge["accuracy"], mode="lines", name="Best in this plane", hoverinfo="skip",
        line={"color": BLUE, "width": 1, "dash": "dot", "shape": "hv"},
    )  # fmt: skip
    _add_points(figure, rest, cost, "Other candidates", [_short_hover(row) for row in _records(rest)],
                marker={"color": GREY, "size": 5, "opacity": 0.55})  # fmt: skip
    _add_points(figure, chosen, cost, front_label(run), _hovers(run, chosen), bars=True,
                marker={"color": SKY, "size": 7, "line": {"color": BLUE, "width": 1}})  # fmt: skip
    _add_points(figure, known, cost, "Reference networks", _hovers(run, known), bars=True,
                marker={"color": GREEN, "size": 10, "symbol": "diamond"},
                labels=[_escaped(_cut(str(name))) for name in known["origin"]])  # fmt: skip
    _add_points(figure, best.to_frame().T, cost, best_label(run), _hovers(run, best.to_frame().T),
                marker={"color": VERMILION, "size": 15, "symbol": "star"})  # fmt: skip
    ticks = log_ticks(rows[cost].astype(float))
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[tick_text(tick) for tick in ticks])
    figure.update_yaxes(tickformat=".0%" if rows["accuracy"].max() - rows["accuracy"].min() > 0.05 else ".1%")
    return figure


def _add_points(
    figure: go.Figure,
    rows: pd.DataFrame,
    cost: str,
    name: str,
    hovers: Sequence[str],
    *,
    marker: dict[str, Any],
    bars: bool = False,
    labels: Sequence[str] = (),
) -> None:
    if rows.empty:
        return
    extra: dict[str, Any] = {"mode": "markers"}
    if labels:
        extra |= {"mode": "markers+text", "text": list(labels), "textposition": "bottom center"}
    if bars:
        look = {"thickness": 1, "width": 0, "color": marker.get("line", marker)["color"]}
        extra["error_y"] = {"array": rows["accuracy_stderr"].astype(float), **look}
        if cost == "relative_step_time":
            above, below = interval(rows)
            extra["error_x"] = {"array": above, "arrayminus": below, "symmetric": False, **look}
    figure.add_scatter(
        x=rows[cost].astype(float), y=rows["accuracy"].astype(float), name=name, marker=marker,
        hovertext=list(hovers), hovertemplate="%{hovertext}<extra></extra>", **extra,
    )  # fmt: skip


def interval(rows: pd.DataFrame) -> "tuple[pd.Series[float], pd.Series[float]]":
    """Return how far the 95% interval of relative step time reaches above and below; 0 where there is none."""
    middle = rows["relative_step_time"].astype(float)
    above = (rows["relative_step_time_high"].astype(float) - middle).fillna(0.0).clip(lower=0)
    below = (middle - rows["relative_step_time_low"].astype(float)).fillna(0.0).clip(lower=0)
    return above, below


def _hovers(run: Run, rows: pd.DataFrame) -> list[str]:
    """Return texts with the stage table; without it beyond the first few hundred."""
    return [
        _short_hover(row) + (_stages(run, int(row["number"])) if place < _MAX_STAGE_TABLES else "")
        for place, row in enumerate(_records(rows))
    ]


def _short_hover(row: dict[str, Any]) -> str:
    origin = "" if pd.isna(row["origin"]) or row["origin"] == "sampler" else f" · {_escaped(str(row['origin']))}"
    return (
        f"<b>Trial {row['number']}</b>{origin}<br>accuracy {row['accuracy']:.2%} ± {row['accuracy_stderr']:.2%}"
        + _step_hover(row)
        + f"<br>{short_count(row['num_params'])} parameters, {short_count(row['num_macs'])} MACs"
        + ("" if pd.isna(row["reward"]) else f"<br>reward {row['reward']:.4f}")
    )


def _step_hover(row: dict[str, Any]) -> str:
    if pd.isna(row["step_time_s"]):
        return ""
    return f"<br>step {row['step_time_s'] * 1e3:.2f} ms, {row['relative_step_time']:.3f} of the reference's"


def _stages(run: Run, number: int) -> str:
    rows = [STAGE_COLUMNS, *stage_rows(run.spec(number))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(STAGE_COLUMNS))]
    lines = [" ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "<br>" + "<br>".join(_escaped(line).replace(" ", "\u00a0") for line in lines)


def _cut(text: str, most: int = 24) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _escaped(text: str) -> str:
    """Return a text that plotly shows as it is; it knows no entities for quotes, and puts texts into no attributes."""
    return escape(text, quote=False)


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `MAX_POINTS` rows at most, the first and the last among them."""
    if len(rows) <= MAX_POINTS:
        return rows
    return rows.iloc[np.linspace(0, len(rows) - 1, MAX_POINTS).astype(int)]


def log_ticks(values: "pd.Series[float]") -> list[float]:
    """Return 1, 2 and 5 times powers of ten around values; plotly's own ticks are digits that say 2 for 20,000."""
    low, high = float(values.min()), float(values.max())
    steps = (1, 2, 5) if high < 300 * low else (1,)
    return [m * 10.0**e for e in range(-6, 13) for m in steps if low / 1.3 <= m * 10.0**e <= high * 1.3]


def tick_text(tick: float) -> str:
    """Return a round number as short as it can be, for example 50k."""
    size, unit = next(((s, u) for s, u in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if tick >= s), (1.0, ""))
    return f"{tick / size:g}{unit}"


def hypervolume(run: Run) -> go.Figure:
    """Draw the hypervolume over trials."""
    rows = _thinned(facts.hypervolume_history(run))
    figure = _figure("Trial", "Hypervolume")
    figure.add_scatter(
        x=rows["number"], y=rows["hypervolume"].round(5), mode="lines", name="Hypervolume", showlegend=False,
        line={"color": BLUE, "width": 2, "shape": "hv"}, hovertemplate="trial %{x}<br>%{y:.3f}<extra></extra>",
    )  # fmt: skip
    return figure.update_yaxes(rangemode="tozero")


def rewards(run: Run) -> go.Figure:
    """Draw each candidate's reward, or accuracy where that tells the best, and the best so far, over trials."""
    rows = _thinned(facts.best_rewards(run))
    figure = _figure("Trial", run.best_by.capitalize())
    figure.add_scatter(
        x=rows["number"], y=rows["value"].round(5), mode="markers", name="Candidates",
        marker={"color": GREY, "size": 5, "opacity": 0.55}, hovertemplate="trial %{x}<br>%{y:.4f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=rows["number"], y=rows["best"].round(5), mode="lines", name="Best so far",
        line={"color": VERMILION, "width": 2, "shape": "hv"}, hovertemplate="trial %{x}<br>%{y:.4f}<extra></extra>",
    )  # fmt: skip
    return figure


CHOICE_COLOURS = [(0.0, ORANGE), (0.5, "#F4F4F4"), (1.0, SKY)]
"""From rarer on the front than among all to more frequent."""


def choice_grid(run: Run) -> tuple[list[int], list[str], NDArray[np.float64], list[list[str]]]:
    """Return stages, choices, and for each choice and stage the share on the front less that of all, and a text."""
    table = facts.choice_shares(run)
    names = _sorted_choices(list(dict.fromkeys(table["choice"])))
    front, every = (table.pivot(index="choice", columns="stage", values=name).loc[names] for name in ("front", "all"))
    shown = [
        [f"{chosen:.0%}<br>({of_all:.0%})" if pd.notna(chosen) else "" for chosen, of_all in zip(*pair, strict=True)]
        for pair in zip(front.to_numpy(), every.to_numpy(), strict=True)
    ]
    return (
        [int(stage) for stage in table["stage"].unique()],
        names,
        (front - every).round(4).to_numpy(dtype=np.float64),
        shown,
    )


def choices(run: Run) -> go.Figure:
    """Draw what stages on the front are made of, as a map: colour is the share on the front less that of all."""
    stages, names, more, shown = choice_grid(run)
    figure = _figure("", "")
    figure.add_heatmap(
        x=[f"Stage {stage}" for stage in stages], y=names, z=more, text=shown,
        texttemplate="%{text}", zmin=-0.5, zmax=0.5, xgap=2, ygap=2, showscale=False,
        colorscale=CHOICE_COLOURS, textfont={"color": "#111111"},
        hovertemplate="%{y}, %{x}<br>on the front %{text} (of all)<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix=" ")
    figure.update_xaxes(showgrid=False, side="top")
    return figure.update_layout(height=90 + 42 * len(names), margin={"t": 36, "l": 8, "r": 8, "b": 8})


def _sorted_choices(names: Sequence[str]) -> list[str]:
    def place(name: str) -> tuple[int, int]:
        kind = ("Fused-MBConv", "Kernel", "Expansion").index(name.split()[0])
        digits = "".join(c for c in name.partition("x")[0] if c.isdigit()) if kind == 1 else name.split()[-1]
        return kind, int(digits) if kind else 0

    return sorted(names, key=place)


OBJECTIVE_LOOKS = {
    "accuracy": ("Accuracy", BLUE),
    "relative_step_time": ("Step time", ORANGE),
    "num_params": ("Parameters", GREEN),
    "num_macs": ("Multiply-adds", SKY),
}
"""How importances are called and coloured."""


def importances(table: pd.DataFrame) -> go.Figure:
    """Draw which choices matter most, a bar for each objective; `table` as `facts.importances` returns it."""
    table = most_important(table)
    figure = _figure("Importance", "")
    for column in table.columns.drop("choice"):
        name, colour = OBJECTIVE_LOOKS[column]
        figure.add_bar(
            x=table[column].round(4), y=[_escaped(name) for name in table["choice"]], name=name, orientation="h",
            marker={"color": colour}, hovertemplate="%{y}<br>%{x:.1%}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix=" ")
    figure.update_xaxes(tickformat=".0%")
    return figure.update_layout(barmode="group", height=130 + 42 * len(table), bargap=0.25)


def most_important(table: pd.DataFrame, count: int = 12) -> pd.DataFrame:
    """Return the rows of `facts.importances` with the largest sums."""
    total = table.drop(columns="choice").sum(axis=1)
    return table.loc[total.sort_values(ascending=False, kind="stable").index[:count]]


def interval_widths(noise: facts.StepTimeNoise) -> go.Figure:
    """Draw how precisely step times are known."""
    name = "95% interval / relative step time" if noise.has_intervals else "Interquartile range / relative step time"
    figure = _figure(name, "Candidates")
    figure.add_histogram(
        x=noise.interval_widths.round(5), marker={"color": SKY, "line": {"color": "#333333", "width": 0.5}},
        nbinsx=60, showlegend=False, hovertemplate="%{x}<br>%{y} candidates<extra></extra>",
    )  # fmt: skip
    return figure.update_xaxes(tickformat=".0%" if noise.interval_widths.max() > 0.1 else ".1%", rangemode="tozero")


def costs(run: Run) -> go.Figure:
    """Draw where the seconds went."""
    table = facts.cost_account(run)
    figure = _figure("Seconds of all workers", "")
    figure.add_bar(
        x=table["seconds"].round(2), y=table["what"], orientation="h", marker={"color": BLUE}, showlegend=False,
        text=[f"{share:.1%}" for share in table["share"]], textposition="outside", cliponaxis=False,
        hovertemplate="%{y}<br>%{x:,.0f} s<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix=" ")
    figure.update_xaxes(range=[0, 1.15 * table["seconds"].max()])
    return figure.update_layout(height=80 + 34 * len(table))


def _figure(x_title: str, y_title: str) -> go.Figure:
    """Return an empty chart that fits a phone: narrow margins, the legend below, no zooming by a stray finger."""
    axis = {
        "automargin": True,
        "zeroline": False,
        "gridcolor": "#CCCCCC",
        "title": {"standoff": 8},
        "fixedrange": False,
    }
    return go.Figure(
        layout={
            "template": "none",
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#333333"},
            "height": 420,
            "margin": {"l": 8, "r": 12, "t": 32, "b": 8},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0},
            "hoverlabel": {"font": {"family": "ui-monospace, monospace", "size": 11}, "align": "left"},
            "dragmode": False,
            "xaxis": {**axis, "title": {"text": x_title, "standoff": 8}},
            "yaxis": {**axis, "title": {"text": y_title, "standoff": 8}},
        }
    )
