"""What a calibration's table comes to: the fidelity to search with, and why, in plain words."""

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True, slots=True)
class Verdict:
    """Attributes:
    fidelity: The cheapest that ranks well enough; None if none does.
    words: Why, and what to do, in a few sentences.
    """

    fidelity: str | None
    words: str


def judge(table: pd.DataFrame, min_tau: float) -> Verdict:
    """Choose the cheapest fidelity whose tau is at least `min_tau`, or all that the long training's noise lets be seen.

    The latter holds where tau lies in the interval of the ceiling, and counts only if the ceiling itself is at least
    `min_tau`: a long training that cannot tell networks apart proves nothing.

    Args:
        table: As `calibration_table` returns it.
        min_tau: Kendall's tau.
    """
    proxies, long = table[table["kind"] == "proxy"], table[table["kind"] == "long"].iloc[0]
    judged = proxies[proxies["tau"].notna()].sort_values("cost_s", kind="stable")
    if judged.empty:
        return Verdict(None, "Too few trainings have ended to compare fidelities with the long training.")
    enough = judged["tau"] >= min_tau
    if long["ceiling"] >= min_tau:
        enough |= judged["tau"] >= long["ceiling_low"]
    words = [_about_ceiling(long, min_tau)]
    if enough.any():
        chosen = judged[enough].iloc[0]
        words.insert(0, _why(chosen))
        words.append(_about_baselines(table, chosen))
        fidelity = str(chosen["name"])
    else:
        best = judged.iloc[int(judged["tau"].argmax())]
        words.insert(0, _why_not(best, min_tau))
        words.append(_about_baselines(table, best))
        fidelity = None
    return Verdict(fidelity, " ".join(filter(None, words)))


def _why(row: "pd.Series[Any]") -> str:
    return (
        f"Search with {row['name']}: it ranks these networks much as the long training does, {_tau_words(row)}, "
        f"at {row['relative_cost']:.1%} of its cost."
    )


def _why_not(row: "pd.Series[Any]", min_tau: float) -> str:
    found = f"No fidelity reaches tau {min_tau:g}; the best is {row['name']}, {_tau_words(row)}."
    if row["ratio"] < 1:
        return (
            f"This proxy cannot tell these networks apart: spread {100 * row['spread']:.1f} points, noise "
            f"{100 * row['noise']:.1f}. Train longer or use more validation images. {found}"
        )
    if row["ceiling_low"] > row["tau_high"]:
        return (
            f"{found} Noise alone would allow {row['ceiling']:.2f}: brief training prefers other networks than long "
            "training does. Train longer."
        )
    return f"{found} Train longer, or use more validation images or a wider space."


def _about_ceiling(long: "pd.Series[Any]", min_tau: float) -> str:
    if pd.isna(long["ceiling"]):
        return "How far the long training's own noise limits tau is not known: it has a single seed."
    bounds = f"{long['ceiling']:.2f} ({long['ceiling_low']:.2f} to {long['ceiling_high']:.2f})"
    if long["ceiling"] < min_tau:
        return (
            f"Because of the long training's own noise no ranking can be expected to show more than tau {bounds} with "
            "it: make it longer, or repeat it more often."
        )
    return f"A ranking without any noise would show tau {bounds} with the long training."


def _about_baselines(table: pd.DataFrame, row: "pd.Series[Any]") -> str:
    baselines = table[(table["kind"] == "baseline") & table["tau"].notna()]
    if baselines.empty:
        return ""
    best = baselines.iloc[int(baselines["tau"].argmax())]
    if best["tau"] < row["tau"]:
        return f"The best ranking without training is {best['name']}, tau {best['tau']:.2f}."
    return f"But {best['name']} alone ranks them as well without any training, {_tau_words(best)}."


def _tau_words(row: "pd.Series[Any]") -> str:
    return f"tau {row['tau']:.2f} ({row['tau_low']:.2f} to {row['tau_high']:.2f})"
