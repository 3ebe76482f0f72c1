"""The sections of the page: each says in a few sentences what its charts and tables show."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from html import escape

import pandas as pd
import plotly.graph_objects as go

from nas.models.tables import STAGE_COLUMNS, stage_rows
from nas.results.importances import MIN_CANDIDATES
from nas.results.report import elements, facts, figures
from nas.results.report.diagram import diagram
from nas.results.run import Run
from nas.results.signals import rank_signals
from nas.results.tables import FRONT_COLUMNS, RANK_MARKS, family_members, family_rows, front_rows
from nas.results.ties import NUM_STDERRS, tie_words, winner_words

_MAX_ROWS = 200


@dataclass(slots=True)
class Section:
    """Attributes:
    name: Its anchor.
    title: Its heading.
    content: HTML.
    figures: The charts in it by the names of their places.
    """

    name: str
    title: str
    content: str
    figures: dict[str, go.Figure] = field(default_factory=dict)

    def add_chart(self, name: str, caption: str, figure: go.Figure) -> None:
        self.figures[name] = figure
        self.content += elements.chart(name, caption, figure)


def sections(run: Run) -> list[Section]:
    """Return what can be said of a run; of one without a measured candidate only what was asked for and spent."""
    makers: list[Callable[[Run], Section]] = [summary]
    if not run.pareto.empty:
        makers += [front, progress, winners, choices, importances, noise]
    makers += [cost]
    if not run.pareto.empty:
        makers += [family]
    makers += [reproduce]
    return [make(run) for make in makers]


def summary(run: Run) -> Section:
    manifest = run.manifest
    wanted = run.budget
    counts = run.trials["state"].value_counts()
    tiles = {
        f"of {wanted} candidates" if wanted else "candidates": str(len(run.trials)),
        "stopped early": str(counts.get("stopped", 0)),
        "failed": str(counts.get("failed", 0)),
        "on the front": str(len(run.pareto)),
        "from first to last": _duration(facts.elapsed_s(run)),
    }
    if not run.pareto.empty:
        tiles |= {
            "best accuracy": f"{run.pareto['accuracy'].max():.2%}",
            **({"best reward": f"{run.best['reward']:.4f}"} if run.best_by == "reward" else {}),
        }
    section = Section("summary", "Summary", elements.tiles(tiles))
    if run.pareto.empty:
        todo = "See below why they failed." if len(run.trials) else "The search has only begun."
        section.content += elements.paragraph(f"No candidate has been measured yet. {todo}", "warning")
    section.content += _noise_warning(run)
    section.content += elements.definitions(
        {
            "Space": manifest.space,
            "Data": f"{manifest.data}, {manifest.num_classes} classes, channels {manifest.in_channels}",
            "Objective": manifest.objective,
            "Sampler": manifest.settings.get("sampler", "not recorded"),
            "Early stopping": manifest.settings.get("stopping", "none"),
            "Budget": wanted or "not recorded",
            **(_how_measured(run) if manifest.settings.get("table") is None else {"Measured": "looked up in a table"}),
            "Started": manifest.created_utc.replace("T", " ").replace("+00:00", " UTC"),
        }
    )
    return section


def _how_measured(run: Run) -> dict[str, str]:
    manifest = run.manifest
    return {
        "Fidelity": f"{manifest.fidelity} (images x epochs)",
        "Timed step": manifest.step or "the proxy's training step",
        "Step times": f"predicted for {manifest.target_device}" if manifest.target_device else "measured",
        "Device": _device(run),
    }


def _device(run: Run) -> str:
    hardware = run.manifest.hardware
    timed = ", ".join(map(str, facts.measured(run)["device_name"].dropna().unique()))
    name = timed or str(hardware.get("processor", ""))
    return f"{hardware.get('device', '')} ({name})"


def front(run: Run) -> Section:
    section = Section("front", "Front", "")
    section.content += elements.paragraph(
        f"{len(run.pareto)} of {len(facts.measured(run))} measured candidates are beaten by none in accuracy and "
        f"{_costs(run)} together. Bars are one standard error of accuracy, from validation images and seed"
        + (" and the 95% interval of step time" if run.pareto["relative_step_time_low"].notna().any() else "")
        + ". The dotted line joins the best in the plane that is shown"
        + ("" if facts.references(run).empty else "; diamonds are reference networks, which the search began with")
        + "."
    )
    if words := tie_words(run.pareto):
        section.content += elements.paragraph(" ".join(words))
    if len(run.trials) > figures.MAX_POINTS:
        section.content += elements.paragraph(
            f"Of the front, and of the others, {figures.MAX_POINTS} candidates at most are drawn."
        )
    for cost, title in figures.planes(run).items():
        section.add_chart(f"front-{cost}", f"Accuracy against {title[0].lower()}{title[1:]}", figures.front(run, cost))
    section.content += elements.folded("The front as a table", front_table(run))
    return section


def _costs(run: Run) -> str:
    return " and ".join(f"{title[0].lower()}{title[1:]}" for title in figures.planes(run).values())


def front_table(run: Run) -> str:
    rows = front_rows(run.pareto.head(_MAX_ROWS))
    table = elements.table(FRONT_COLUMNS, rows, "r" * (len(FRONT_COLUMNS) - 1) + "l")
    return elements.paragraph(f"Behind the rank: {RANK_MARKS}.") + table


def progress(run: Run) -> Section:
    section = Section("progress", "Progress", "")
    section.content += elements.paragraph(
        "The hypervolume is the share of a box that the front beats, higher is better. The box reaches from the worst "
        f"to the best value of each objective in this run, {_costs(run)} on a logarithmic scale."
    )
    section.add_chart("hypervolume", "Hypervolume over trials", figures.hypervolume(run))
    if run.best_by == "reward":
        section.content += elements.paragraph(
            "The reward is accuracy x relative step time^-0.07 x relative parameters^-0.05, higher is better."
        )
    section.add_chart("rewards", f"{run.best_by.capitalize()} over trials", figures.rewards(run))
    return section


def winners(run: Run) -> Section:
    networks = run.family()
    widest = max(max(s.head_channels, *(stage.out_channels for stage in s.stages)) for s in networks.values())
    drawn = "".join(
        f'<figure class="winner"><figcaption>{size}</figcaption>{diagram(spec, widest=widest)}</figure>'
        for size, spec in networks.items()
    )
    text = (
        f"S has the best {run.best_by}; M and L are scaled from it. A bar is a layer, its width grows with the root "
        "of the channels that go out. At the right: channels x layers, and the image's side where the stage ends."
    )
    text = " ".join([text, *winner_words(run.pareto)])
    legend = (
        '<p class="legend"><span class="fused"></span>Fused-MBConv <span class="mbconv"></span>MBConv '
        '<span class="other"></span>convolution</p>'
    )
    return Section("winners", "Winners", elements.paragraph(text) + legend + f'<div class="winners">{drawn}</div>')


def choices(run: Run) -> Section:
    section = Section("choices", "Choices along the front", "")
    section.content += elements.paragraph(
        "Shares of the networks on the front, in brackets of all that were measured. Blue: more often on the front "
        "than among all; orange: less often."
    )
    section.add_chart("choices", "What the stages are made of", figures.choices(run))
    return section


def importances(run: Run) -> Section:
    section = Section("importances", "Importances", "")
    table = facts.importances(run)
    if table.empty:
        section.content += elements.paragraph(
            f"Importances are estimated from {MIN_CANDIDATES} measured candidates on, where choices vary."
        )
        return section
    section.content += elements.paragraph(
        "How much a choice tells the best tenth of the candidates from the others (PED-ANOVA); for each objective "
        "the sum over all choices is 100%. Choices are called as in the space's definition. What a sampler no longer "
        "varies looks unimportant."
    )
    section.add_chart("importances", "Importance of choices", figures.importances(table))
    return section


def noise(run: Run) -> Section:
    section = Section("noise", "Noise", "")
    if run.noise is None:
        section.content += elements.paragraph("Two measured candidates are the least that noise can be told from.")
        return section
    apart = NUM_STDERRS * 2**0.5 * run.noise.stderr
    section.content += elements.paragraph(
        f"{run.noise.describe()} The ratio of the two is {run.noise.ratio:.1f}: below 1 a ranking is mostly noise, 3 "
        f"allows a Kendall tau of about 0.8. With images and seed together, an accuracy's standard error is "
        f"{run.noise.stderr:.2%}; two candidates that lie less than {apart:.2%} apart are not told apart."
    )
    section.content += _noise_warning(run)
    found = facts.step_time_noise(run)
    if found.predicted:
        section.content += elements.paragraph(f"{found.predicted:.0%} of the step times are predicted, not measured.")
    if found.exclusive is not None:
        section.content += elements.paragraph(
            f"{found.exclusive:.0%} of the timings had the device to themselves, as far as the toolkit's own "
            "processes go."
        )
    if len(found.interval_widths):
        median, late = pd.Series(found.interval_widths).quantile([0.5, 0.95])
        what = "95% interval" if found.has_intervals else "interquartile range over blocks"
        section.content += elements.paragraph(
            f"The {what} of a relative step time is {median:.1%} of it in the median, {late:.1%} for one in twenty."
        )
        section.add_chart("widths", "How precisely step times are known", figures.interval_widths(found))
    section.content += _signals(run)
    return section


def _noise_warning(run: Run) -> str:
    if run.noise is None or run.noise.warning is None:
        return ""
    return elements.paragraph(run.noise.warning, "warning")


def _signals(run: Run) -> str:
    table = rank_signals(run)
    if table.empty:
        return ""
    rows = [
        (row["signal"], "" if row["is_trivial"] else "scored", row["num_candidates"], f"{row['tau']:.2f}")
        for row in table.to_dict("records")
    ]
    text = (
        "Which signals, known before any training, rank these candidates as their accuracy does: Kendall's tau, 1 for "
        f"the same order. By chance alone it is 0 with a standard deviation of {table['tau_by_chance'].max():.2f}. "
        "Scored are those that took an untrained network (--signals)."
    )
    return elements.paragraph(text) + elements.table(("Signal", "", "Candidates", "Tau"), rows, "llrr")


def cost(run: Run) -> Section:
    section = Section("cost", "Cost", "")
    account = facts.cost_account(run)
    if account.empty:
        section.content += elements.paragraph("Nothing has been spent yet.")
    else:
        section.content += elements.paragraph(
            f"{_duration(account['seconds'].sum())} of all workers together, "
            f"{_duration(facts.elapsed_s(run))} from the first candidate to the last, breaks included."
        )
        section.add_chart("costs", "Where the time went", figures.costs(run))
        rows = [(r["what"], f"{r['seconds']:,.1f}", f"{r['share']:.1%}") for r in account.to_dict("records")]
        section.content += elements.folded("As a table", elements.table(("What", "Seconds", "Share"), rows, "lrr"))
    failed = facts.failures(run)
    if failed.empty:
        section.content += elements.paragraph("No candidate failed.")
    else:
        section.content += "<h3>Failures by reason</h3>" + elements.table(
            ("Reason", "Candidates", "Trial, for example"),
            [(_short(r["reason"]), r["count"], r["example"]) for r in failed.head(_MAX_ROWS).to_dict("records")],
            "lrr",
        )
    return section


def family(run: Run) -> Section:
    manifest = run.manifest
    members = family_members(run.family(), num_classes=manifest.num_classes, in_channels=manifest.in_channels)
    columns, rows = family_rows(members)
    content = elements.table(columns, rows, "l" + "r" * (len(columns) - 1))
    content += elements.paragraph("MACs are multiply-adds of one forward pass of one image of the eval size.")
    stages = "".join(
        f"<div><h3>{member.size}</h3>{elements.table(STAGE_COLUMNS, stage_rows(member.spec), 'llrrr')}</div>"
        for member in members
    )
    return Section("family", "Family", f'{content}<div class="tables">{stages}</div>')


def reproduce(run: Run) -> Section:
    manifest = run.manifest
    code = {"Code": f"{manifest.git['commit']}{', changed' if manifest.git['changed'] else ''}"} if manifest.git else {}
    content = f"<pre>{escape(manifest.command)}</pre>" + elements.definitions(
        {
            "Versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
            **code,
            "Machine": ", ".join(f"{name} {value}" for name, value in manifest.hardware.items()),
            "Seed": manifest.seed,
            "Space's fingerprint": manifest.space_fingerprint,
            "Data's fingerprint": manifest.data_fingerprint,
            "Settings": ", ".join(f"{name}={value}" for name, value in manifest.settings.items()),
        }
    )
    return Section("reproduce", "Reproduce", content)


def _duration(seconds: float) -> str:
    """Return a time that people say: 42 s, 1:10:05, or 2 days, 3:04:05."""
    return f"{seconds:.0f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))


def _short(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:397]}..."
