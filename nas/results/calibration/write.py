"""The files that follow from a calibration's trainings: CSV, JSON, a summary to read, and a plot."""

import importlib.util
import json
from typing import Any

import pandas as pd

from nas.files import replace_file
from nas.models.tables import markdown_table
from nas.results.calibration.calibration import Calibration

COLUMNS = ("Ranking", "Tau", "Ceiling", "Top half", "Top third", "Seeds", "Spread", "Noise", "Ratio", "Regret", "Cost")


def write_calibration(calibration: Calibration) -> None:
    """Write calibration.csv, calibration.json and summary.md, each in one step."""
    folder = calibration.folder
    replace_file(folder.csv_path, calibration.table.to_csv(index=False, lineterminator="\n"))
    replace_file(folder.json_path, json.dumps(calibration.to_dict(), indent=2, allow_nan=False) + "\n")
    replace_file(folder.summary_path, summary_markdown(calibration))


def write_plot(calibration: Calibration) -> bool:
    """Write a picture of tau against cost; return whether matplotlib is there and a tau is known."""
    if importlib.util.find_spec("matplotlib") is None or calibration.table["tau"].isna().all():
        return False
    from nas.results.calibration.plot import draw

    draw(calibration)
    return True


def table_rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the cells of `COLUMNS` as texts. Accuracies are in points, costs in seconds."""
    return [_cells(row) for _, row in table.iterrows()]


def summary_markdown(calibration: Calibration) -> str:
    """Return what a reader wants to know first."""
    manifest, table = calibration.manifest, calibration.table
    networks = int(table.loc[table["kind"] != "baseline", "num_networks"].max())
    failed = int(table["num_failed"].sum())
    lines = [
        f"# Calibration of {manifest.space} on {manifest.data}",
        "",
        calibration.verdict.words,
        "",
        markdown_table(COLUMNS, table_rows(table), "l" + "r" * (len(COLUMNS) - 1)),
        "",
        f"{networks} networks, {manifest.num_val_images:,} validation images; {failed} trainings failed. In brackets: "
        "95% bootstrap interval over networks.",
        "",
        "- Tau: Kendall's rank correlation of a single brief training with the mean of the long ones. Top half and top "
        "third: among the networks that are truly best.",
        "- Ceiling: the tau that noise would leave if it were all that the two differ by; in the last trained row, the "
        "tau of a ranking without noise.",
        "- Seeds: tau between two trainings of one fidelity. Spread and noise: standard deviations, in points of "
        "accuracy, across networks and across seeds of a network; ratio is the one by the other.",
        "- Regret: points of accuracy that are lost by choosing the network that a brief training ranks first.",
        f"- Cost: {'processor ' if manifest.costs_processor_time else ''}seconds of a training, and its share of the "
        "long one's.",
    ]
    return "\n".join(lines) + "\n"


def _cells(row: "pd.Series[Any]") -> tuple[str, ...]:
    trained = row["kind"] != "baseline"
    cost = f"{row['cost_s']:.1f} s, {row['relative_cost']:.1%}" if trained and pd.notna(row["relative_cost"]) else ""
    if trained and not cost and pd.notna(row["cost_s"]):
        cost = f"{row['cost_s']:.1f} s"
    return (
        f"{row['name']} (long)" if row["kind"] == "long" else str(row["name"]),
        _with_bounds(row, "tau"),
        _with_bounds(row, "ceiling"),
        _with_bounds(row, "top_half_tau"),
        _with_bounds(row, "top_third_tau"),
        _number(row["seed_tau"], 2),
        _number(100 * row["spread"], 2),
        _number(100 * row["noise"], 2),
        _number(row["ratio"], 1),
        _number(100 * row["top1_regret"], 2),
        cost,
    )


def _with_bounds(row: "pd.Series[Any]", name: str) -> str:
    if pd.isna(row[name]):
        return ""
    bounds = "" if pd.isna(row[f"{name}_low"]) else f" ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"
    return f"{row[name]:.2f}{bounds}"


def _number(value: float, digits: int) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"
