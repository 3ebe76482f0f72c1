"""Tau against cost as a picture, by matplotlib."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nas.results.calibration.calibration import Calibration
from nas.results.report.colours import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION

_DPI = 150


def draw(calibration: Calibration) -> None:
    """Write the picture: each fidelity with its interval, what noise leaves of tau, and rankings without training."""
    table = calibration.table
    proxies = table[(table["kind"] == "proxy") & table["tau"].notna()]
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    below, above = (proxies["tau"] - proxies["tau_low"], proxies["tau_high"] - proxies["tau"])
    axes.errorbar(
        100 * proxies["relative_cost"], proxies["tau"], yerr=[below.clip(lower=0), above.clip(lower=0)],
        fmt="o-", color=BLUE, elinewidth=0.8, capsize=3, label="Brief training",
    )  # fmt: skip
    for _, row in proxies.iterrows():
        axes.annotate(str(row["name"]), (100 * row["relative_cost"], row["tau"]), (5, 5), textcoords="offset points")
    axes.plot(100 * proxies["relative_cost"], proxies["ceiling"], "_", color=SKY, markersize=14, label="Its ceiling")
    long = table[table["kind"] == "long"].iloc[0]
    if long["ceiling"] > 0:
        axes.axhspan(long["ceiling_low"], long["ceiling_high"], color=GREEN, alpha=0.12)
        axes.axhline(long["ceiling"], color=GREEN, linewidth=1, label="Ceiling: a ranking without noise")
    axes.axhline(calibration.min_tau, color=GREY, linewidth=0.8, linestyle=":", label="Asked for")
    baselines = table[(table["kind"] == "baseline") & table["tau"].notna()]
    for (_, row), colour in zip(baselines.iterrows(), (ORANGE, VERMILION, GREY, "#111111"), strict=False):
        axes.axhline(row["tau"], color=colour, linewidth=0.8, linestyle="--", label=f"{row['name']} alone")
    axes.set(xlabel="Cost, % of the long training", ylabel="Kendall's tau with the long training", xscale="log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=9)
    # No date or version inside: equal calibrations give equal files.
    figure.savefig(calibration.folder.plot_path, dpi=_DPI, metadata={"Software": None})
