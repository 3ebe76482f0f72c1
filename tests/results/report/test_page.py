import json
from copy import copy
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from nas.optimization.objectives import PARETO
from nas.results import load
from nas.results.report import write_report
from nas.results.report.page import page
from tests.results.report.conftest import make_run

ALL = [
    *("summary", "front", "progress", "winners", "choices", "importances", "noise", "cost", "family", "reproduce"),
]
WITHOUT_MEASURED = ["summary", "cost", "reproduce"]
CHARTS = {
    *("front-relative_step_time", "front-num_params", "hypervolume", "rewards", "choices", "importances", "widths"),
    "costs",
}
LOADS = ("src", "srcset", "data", "poster", "action", "background", "xlink:href")
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&<!--"
VOID = {"meta", "link", "br", "img"}


class Parsed(HTMLParser):
    """A page as a browser takes it apart: elements, the texts outside scripts, and the scripts."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text, self.scripts, self.styles = [], [], "", [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            if tag == "script":
                self.scripts.append((dict(attrs), ""))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif self.open and self.open[-1] == "style":
            self.styles.append(data)
        else:
            self.text += data

    @property
    def sections(self):
        return [attrs["id"] for tag, attrs in self.elements if tag == "section"]

    @property
    def figures(self):
        return next((json.loads(text) for attrs, text in self.scripts if attrs.get("id") == "figures"), {})

    @property
    def places(self):
        return {attrs["id"] for _, attrs in self.elements if attrs.get("class") == "chart"}


@pytest.fixture(scope="module")
def real_page(real_run):
    return page(real_run)


def test_the_page_of_a_real_run_has_every_section_and_chart(real_page):
    found = Parsed(real_page)
    assert found.sections == ALL
    assert set(found.figures) == found.places == {f"chart-{name}" for name in CHARTS}
    assert all(any(len(trace["y"]) for trace in chart["data"] if "y" in trace) or "widths" in name
               for name, chart in found.figures.items())  # fmt: skip
    assert len([tag for tag, attrs in found.elements if attrs.get("class") == "network"]) == 3
    for text in ("python -m nas.search --budget 200", "efficientnet_v2_tiny", "5000x2", "torch 2.14.1", "32 of 200"):
        assert text in found.text


def test_the_page_is_small(real_page):
    assert len(real_page.encode()) < 6e6


def test_the_page_of_a_long_search_is_small(synthetic_run):
    """Of 3,000 candidates, most of them on the front."""
    longer = copy(synthetic_run)
    rows = synthetic_run.trials[synthetic_run.trials["state"] == "measured"]
    longer.trials = pd.concat([rows] * 75, ignore_index=True)
    longer.trials["accuracy"] = np.linspace(0.1, 0.9, 3000) + np.random.default_rng(0).normal(0, 0.001, 3000)
    longer.trials["relative_step_time"] = np.linspace(1, 2, 3000)
    vars(longer).pop("pareto", None)  # found before, of the shorter one
    html = page(longer)
    assert len(longer.pareto) > 1_000
    assert len(html.encode()) < 6e6
    assert "candidates at most are drawn" in html


def test_the_page_loads_nothing(real_page):
    found = Parsed(real_page)
    for tag, attrs in found.elements:
        assert not set(LOADS) & set(attrs), (tag, attrs)
        assert attrs.get("href", "#").startswith(("#", "data:")), (tag, attrs)
    assert not any(word in style for style in found.styles for word in ("@import", "url("))
    policy = next(attrs["content"] for _, attrs in found.elements if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'")


def test_the_front_tells_the_stages_and_the_names_of_the_references(real_page, real_run):
    traces = {t["name"]: t for t in Parsed(real_page).figures["chart-front-num_params"]["data"]}
    assert len(traces["Front of three objectives"]["hovertext"]) == len(real_run.pareto)
    assert all("Fused-MBConv" in text or "MBConv" in text for text in traces["Front of three objectives"]["hovertext"])
    assert set(traces["Reference networks"]["text"]) == {"efficientnet_v2_like", "efficientnet_v1_like", "all_fused"}


def test_intervals_are_shown_where_a_run_has_them_and_ranges_where_it_is_older(real_page, synthetic_run):
    assert "interquartile range over blocks" in Parsed(real_page).text
    assert "had the device to themselves" not in Parsed(real_page).text
    newer = Parsed(page(synthetic_run))
    assert "95% interval of a relative step time" in newer.text
    assert "100% of the timings had the device to themselves" in newer.text
    bars = newer.figures["chart-front-relative_step_time"]["data"]
    assert any("error_x" in trace for trace in bars)


def test_a_run_that_has_just_begun(tmp_path):
    folder = make_run(tmp_path / "run", 0)
    folder.study(PARETO)
    found = Parsed(page(load(folder.path)))
    assert found.sections == WITHOUT_MEASURED
    assert "has only begun" in found.text
    assert "Not finished: 0 of 25" in found.text
    assert found.figures == {}


@pytest.mark.parametrize("num_measured", [1, 2, 5])
def test_a_run_with_few_candidates(tmp_path, num_measured):
    found = Parsed(page(load(make_run(tmp_path / "run", num_measured).path)))
    assert found.sections == ALL
    assert "chart-importances" not in found.places
    assert ("Two measured candidates" in found.text) == (num_measured == 1)


def test_a_run_in_which_all_failed(tmp_path):
    found = Parsed(page(load(make_run(tmp_path / "run", 0, num_failed=4, reason="diverged: loss nan").path)))
    assert found.sections == WITHOUT_MEASURED
    assert found.places == {"chart-costs"}
    assert "diverged: loss nan" in found.text
    assert "why they failed" in found.text


def test_predicted_times_and_a_spread_below_the_noise_are_said(tmp_path):
    folder = make_run(tmp_path / "run", 12, timing_source="predicted on H100", accuracy_stderr=0.5)
    text = Parsed(page(load(folder.path))).text
    assert "100% of the step times are predicted" in text
    assert text.count("This ranking is mostly noise") == 2  # in the summary and in the section on noise
    assert "This ranking is mostly noise" not in Parsed(page(load(make_run(tmp_path / "other", 12).path))).text


def test_names_from_a_run_cannot_become_markup(tmp_path):
    folder = make_run(
        tmp_path / "run",
        25,
        num_failed=2,
        reason=HOSTILE,
        origin=HOSTILE,
        manifest={"data": HOSTILE, "settings": {"budget": 27, HOSTILE: HOSTILE}, "device": HOSTILE},
        device_name=HOSTILE,
    )
    run = load(folder.path)
    run.trials = run.trials.rename(columns={"param_s1_num_layers": f"param_{HOSTILE}"})
    html = page(run)
    found = Parsed(html)
    assert found.sections == ALL
    assert "img" not in {tag for tag, _ in found.elements}
    assert not any(name.startswith("on") for _, attrs in found.elements for name in attrs)
    assert "<img" not in html.replace("".join(text for _, text in found.scripts if "function" in text), "")
    assert found.text.count(HOSTILE) >= 5
    # plotly reads its texts as a little HTML, so there they are escaped once more.
    figures = json.dumps(found.figures)
    assert "&lt;/script&gt;" in figures
    assert "<img" not in figures


def test_the_page_reloads_only_if_asked(synthetic_run, tmp_path):
    path = tmp_path / "report.html"
    write_report(synthetic_run, path, reload_s=30)
    assert '<meta http-equiv="refresh" content="30">' in path.read_text(encoding="utf-8")
    write_report(synthetic_run, path)
    assert 'http-equiv="refresh"' not in path.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
