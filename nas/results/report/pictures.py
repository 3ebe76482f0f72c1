"""The charts as PNG files, by matplotlib, on white."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from nas.results.report import facts, figures
from nas.results.report.colours import BLUE, GREEN, GREY, SKY, VERMILION
from nas.results.run import Run

_DPI = 150
_FRONTS = {"relative_step_time": "front_step_time", "num_params": "front_params", "num_macs": "front_macs"}
"""Names of the pictures by the cost that accuracy is shown against."""


def draw(run: Run, folder: Path) -> list[Path]:
    """Write a file a chart; none of them of a run without a measured candidate. Return the files."""
    if run.pareto.empty:
        return []
    charts: dict[str, Callable[[Run, Axes], None]] = {
        **{_FRONTS[cost]: partial(_front, cost=cost) for cost in figures.planes(run)},
        "hypervolume": _hypervolume,
        "rewards": _rewards,
        "choices": _choices,
        "costs": _costs,
    }
    important = figures.most_important(facts.importances(run))
    if not important.empty:
        charts["importances"] = lambda _, axes: _importances(important, axes)
    written = []
    for name, chart in charts.items():
        figure = Figure(figsize=(8, 5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        chart(run, axes)
        path = folder / f"{name}.png"
        # No date or version inside: equal runs give equal files.
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})
        written.append(path)
    return written


def _front(run: Run, axes: Axes, cost: str) -> None:
    rows, chosen, known = facts.measured(run), run.pareto, facts.references(run)
    edge, best = facts.plane_front(run, cost), run.best
    axes.plot(rows[cost], rows["accuracy"], ".", color=GREY, alpha=0.5, markersize=4, label="Other candidates")
    axes.step(edge[cost].astype(float), edge["accuracy"], ":", where="post", color=BLUE, label="Best in this plane")
    for table, colour, shape, size, label in (
        (chosen, BLUE, "o", 5.0, figures.front_label(run)),
        (known, GREEN, "D", 8.0, "Reference networks"),
    ):
        if table.empty:
            continue
        above, below = figures.interval(table)
        axes.errorbar(
            table[cost].astype(float), table["accuracy"], yerr=table["accuracy_stderr"],
            xerr=[below, above] if cost == "relative_step_time" else None,
            fmt=shape, color=colour, markersize=size, elinewidth=0.8, label=label,
        )  # fmt: skip
    axes.plot(
        [best[cost]], [best["accuracy"]], "*", color=VERMILION, markersize=15, label=figures.best_label(run), zorder=5
    )
    axes.set(xlabel=figures.planes(run)[cost], ylabel="Accuracy", xscale="log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    ticks = figures.log_ticks(rows[cost].astype(float))
    axes.set_xticks(ticks, [figures.tick_text(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=9)


def _hypervolume(run: Run, axes: Axes) -> None:
    history = facts.hypervolume_history(run)
    axes.step(history["number"], history["hypervolume"], where="post", color=BLUE)
    axes.set(xlabel="Trial", ylabel="Hypervolume", ylim=(0, None))


def _rewards(run: Run, axes: Axes) -> None:
    history = facts.best_rewards(run)
    axes.plot(history["number"], history["value"], ".", color=GREY, alpha=0.6, label="Candidates")
    axes.step(history["number"], history["best"], where="post", color=VERMILION, label="Best so far")
    axes.set(xlabel="Trial", ylabel=run.best_by.capitalize())
    axes.legend(frameon=False)


def _choices(run: Run, axes: Axes) -> None:
    stages, names, more, shown = figures.choice_grid(run)
    axes.imshow(
        more,
        cmap=LinearSegmentedColormap.from_list("choices", figures.CHOICE_COLOURS),
        vmin=-0.5,
        vmax=0.5,
        aspect="auto",
    )
    for row, texts in enumerate(shown):
        for column, text in enumerate(texts):
            axes.text(column, row, text.replace("<br>", "\n"), ha="center", va="center", fontsize=8, color="#111111")
    axes.set_xticks(range(len(stages)), [f"Stage {stage}" for stage in stages])
    axes.set_yticks(range(len(names)), names)
    axes.set_title("Share on the front (of all)", fontsize=10)


def _importances(table: pd.DataFrame, axes: Axes) -> None:
    for place, column in enumerate(table.columns.drop("choice")):
        label, colour = figures.OBJECTIVE_LOOKS[column]
        axes.barh(
            [row + 0.27 * (place - 1) for row in range(len(table))], table[column], 0.27, color=colour, label=label
        )
    # Names may hold dollar signs, which begin formulas.
    axes.set_yticks(range(len(table)), [name.replace("$", r"\$") for name in table["choice"]])
    axes.invert_yaxis()
    axes.set_xlabel("Importance by PED-ANOVA")
    axes.legend(frameon=False)


def _costs(run: Run, axes: Axes) -> None:
    account = facts.cost_account(run)
    axes.barh(account["what"], account["seconds"], color=SKY)
    axes.invert_yaxis()
    axes.set_xlabel("Seconds of all workers")
