"""From trainings to a table: a row for each fidelity, the long training and each trivial baseline."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from nas.complexity import complexity
from nas.results.calibration.evaluations import Evaluation, Role
from nas.results.calibration.manifest import CalibrationManifest
from nas.results.ranking import (
    Components,
    Floats,
    components,
    expected_tau,
    interval,
    mean_tau,
    network_means,
    regret,
    resamples,
    seed_tau,
    weights_of,
)
from nas.spec import ArchSpec

CALIBRATION_DTYPES = {
    "kind": "string",
    "name": "string",
    "num_networks": "int64",
    "num_seeds": "int64",
    "num_failed": "int64",
    "accuracy": "float64",
    **dict.fromkeys(("tau", "tau_low", "tau_high"), "float64"),
    **dict.fromkeys(("ceiling", "ceiling_low", "ceiling_high"), "float64"),
    **dict.fromkeys(("top_half_tau", "top_half_tau_low", "top_half_tau_high"), "float64"),
    **dict.fromkeys(("top_third_tau", "top_third_tau_low", "top_third_tau_high"), "float64"),
    **dict.fromkeys(("seed_tau", "seed_tau_low", "seed_tau_high"), "float64"),
    "loss_tau": "float64",
    **dict.fromkeys(("spread", "spread_low", "spread_high"), "float64"),
    **dict.fromkeys(("noise", "noise_low", "noise_high"), "float64"),
    **dict.fromkeys(("ratio", "ratio_low", "ratio_high"), "float64"),
    "top1_regret": "float64",
    "top3_regret": "float64",
    "cost_s": "float64",
    "relative_cost": "float64",
}
"""Columns and their types; results/README.md describes them."""

_MIN_SHARED = 4
"""Tau of fewer networks is not stated."""


def calibration_table(evaluations: Sequence[Evaluation], manifest: CalibrationManifest) -> pd.DataFrame:
    """Return what the trainings so far say of each fidelity.

    Rows are the fidelities of the proxy, cheapest first, then the long training, then baselines that need no training.
    Numbers that cannot be known yet are missing. Columns are those of `CALIBRATION_DTYPES`.

    Args:
        evaluations: Of one calibration; failed ones are counted and else left out.
        manifest: Says which fidelity is the long one, and what a training costs.
    """
    cost = "train_cpu_s" if manifest.costs_processor_time else "wall_s"
    frame = pd.DataFrame([_plain(evaluation) for evaluation in evaluations], columns=[*_COLUMNS])
    frame = frame.astype(dict.fromkeys(_NUMBERS, "float64"))
    frame["cost_s"] = frame[cost]
    known = {evaluation.network: evaluation.arch for evaluation in evaluations}
    networks = sorted(known)
    table = _Table(frame, networks, manifest.long)
    proxies = [table.trained("proxy", str(name)) for name in frame.loc[frame["role"] == "proxy", "fidelity"].unique()]
    proxies.sort(key=lambda row: float(str(row["cost_s"])))
    rows = [*proxies, table.trained("long", manifest.long)]
    specs = [ArchSpec.from_dict(known[network]) for network in networks]
    rows += [table.baseline(name, scores) for name, scores in _baselines(specs, manifest).items()]
    return pd.DataFrame(rows, columns=list(CALIBRATION_DTYPES)).astype(CALIBRATION_DTYPES)


_NUMBERS = ("accuracy", "val_loss", "train_cpu_s", "wall_s")
_COLUMNS = ("network", "role", "fidelity", "seed", *_NUMBERS)


def _plain(evaluation: Evaluation) -> dict[str, object]:
    return {name: getattr(evaluation, name) for name in _COLUMNS}


def _baselines(specs: Sequence[ArchSpec], manifest: CalibrationManifest) -> dict[str, Floats]:
    """Return what is known of each network without training; more is taken to be better."""
    costs = [complexity(spec, num_classes=manifest.num_classes, in_channels=manifest.in_channels) for spec in specs]
    return {
        "num_params": np.array([cost.num_params for cost in costs], float),
        "num_macs": np.array([cost.num_macs for cost in costs], float),
        "num_activations": np.array([cost.num_activations for cost in costs], float),
        "num_blocks": np.array([spec.num_blocks for spec in specs], float),
    }


class _Table:
    """The trainings as matrices of networks and seeds, and the bootstrap samples that all rows share.

    Attributes:
        truth: Mean accuracy of each network over the long trainings; NaN where there is none.
    """

    def __init__(self, frame: pd.DataFrame, networks: Sequence[int], long: str) -> None:
        self.frame, self.networks = frame, list(networks)
        self.samples = resamples(len(networks)) if networks else np.zeros((1, 0), np.int64)
        self.weights = weights_of(self.samples)
        self.once = np.ones(len(networks))
        self.long_runs = self._runs("long", long, "accuracy")
        self.truth = network_means(self.long_runs)
        self.long_costs_s = self._costs_s("long", long)

    def trained(self, role: Role, fidelity: str) -> dict[str, object]:
        """Return the row of a fidelity."""
        rows = self._rows(role, fidelity)
        runs = self._runs(role, fidelity, "accuracy")
        costs_s = self._costs_s(role, fidelity)
        row: dict[str, object] = {
            "kind": role,
            "name": fidelity,
            "num_networks": int(np.isfinite(runs).any(axis=1).sum()),
            "num_seeds": runs.shape[1],
            "num_failed": int(rows["accuracy"].isna().sum()),
            "accuracy": rows["accuracy"].mean(),
            **self._variances(role, runs),
            **_with_interval("seed_tau", seed_tau(runs, self.once), seed_tau(runs, self.weights)),
            "cost_s": costs_s.mean(),
            "relative_cost": self._relative_cost(costs_s),
        }
        if role == "proxy":
            losses = self._runs(role, fidelity, "val_loss")
            row |= self._agreement(runs) | {"loss_tau": self._tau(-losses, self.once)}
        return row

    def baseline(self, name: str, scores: Floats) -> dict[str, object]:
        """Return the row of a ranking that needs no training."""
        known = {"kind": "baseline", "name": name, "num_networks": len(scores), "num_seeds": 0, "num_failed": 0}
        return {**known, **self._agreement(scores[:, None]), "cost_s": 0.0, "relative_cost": 0.0}

    def _agreement(self, runs: Floats) -> dict[str, object]:
        """Return how far runs of shape (networks, seeds) put networks into the long training's order."""
        row: dict[str, object] = {}
        for name, top in (("tau", 1.0), ("top_half_tau", 1 / 2), ("top_third_tau", 1 / 3)):
            row |= _with_interval(name, self._tau(runs, self.once, top), self._tau(runs, self.weights, top))
        if self._is_enough(runs):
            row |= {f"top{top}_regret": regret(runs, self.truth, top) for top in (1, 3)}
        return row

    def _tau(self, runs: Floats, weights: Floats, top: float = 1.0) -> Floats:
        if not self._is_enough(runs):
            return np.full(weights.shape[:-1], np.nan)
        return mean_tau(runs, self.truth, weights, top)

    def _is_enough(self, runs: Floats) -> bool:
        """Whether half of the networks have been trained for long: the first few say next to nothing of the others."""
        num_shared = (np.isfinite(runs).any(axis=1) & np.isfinite(self.truth)).sum()
        return bool(num_shared >= max(_MIN_SHARED, len(self.networks) / 2))

    def _variances(self, role: Role, runs: Floats) -> dict[str, object]:
        """Return spread, noise, their ratio, and the tau that noise leaves, each with its interval."""
        found, boots = self._components(runs)
        ceiling, ceilings = self._components(self.long_runs)
        counts = np.isfinite(self.long_runs).sum(axis=1)
        repeats = 1 / np.mean(1 / counts[counts > 0]) if counts.any() else 1.0
        limits = []
        for own, of_long in ((found, ceiling), (boots, ceilings)):
            # The long training is judged as if a ranking without noise were held against it.
            noisy = own.correlation(1) if role == "proxy" else 1.0
            limits.append(expected_tau(noisy * of_long.correlation(float(repeats))))
        return {
            **_with_interval("spread", found.spread, boots.spread),
            **_with_interval("noise", found.noise, boots.noise),
            **_with_interval("ratio", found.ratio, boots.ratio),
            **_with_interval("ceiling", *limits),
        }

    def _components(self, runs: Floats) -> tuple[Components, Components]:
        """Return them for the networks that have all seeds, and for bootstrap samples of these."""
        whole = runs[np.isfinite(runs).all(axis=1)] if runs.shape[1] else runs[:0]
        if len(whole) < _MIN_SHARED:
            return components(np.full((1, 1), np.nan)), components(np.full((1, 1, 1), np.nan))
        samples = self.samples if len(whole) == len(self.networks) else resamples(len(whole))
        return components(whole), components(whole[samples])

    def _relative_cost(self, costs_s: "pd.Series[float]") -> float:
        """Return a fidelity's cost over the long training's, for networks that have both: costs differ a lot."""
        both = costs_s.index.intersection(self.long_costs_s.index)
        return float(costs_s[both].sum() / self.long_costs_s[both].sum()) if len(both) else math.nan

    def _rows(self, role: Role, fidelity: str) -> pd.DataFrame:
        return self.frame[(self.frame["role"] == role) & (self.frame["fidelity"] == fidelity)]

    def _runs(self, role: Role, fidelity: str, column: str) -> Floats:
        """Return a column as a matrix of networks and seeds; NaN where there is no training."""
        rows = self._rows(role, fidelity).dropna(subset="accuracy")
        wide = rows.pivot(index="network", columns="seed", values=column)
        return wide.reindex(self.networks).to_numpy(float)

    def _costs_s(self, role: Role, fidelity: str) -> "pd.Series[float]":
        """Return the seconds of a training of each network that has one, the mean over seeds."""
        return self._rows(role, fidelity).dropna(subset="accuracy").groupby("network")["cost_s"].mean()


def _with_interval(name: str, value: Floats, samples: Floats) -> dict[str, object]:
    low, high = interval(samples)
    return {name: float(value), f"{name}_low": low, f"{name}_high": high}
