"""The page as a browser shows it. Needs Chromium."""

import pytest

from nas.models.tables import stage_rows
from nas.results import load
from nas.results.report import write_report
from tests.results.report.browser import CHROMIUM, Browser
from tests.results.report.conftest import make_run
from tests.results.report.test_page import CHARTS, HOSTILE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

COUNT_SHAPES = """Object.fromEntries([...document.querySelectorAll(".chart")].map(place =>
  [place.id, place.querySelectorAll("svg .overplot .mlayer :is(path, image)").length]))"""


FRONT_TRACES = [
    *("Best in this plane", "Other candidates", "Front of three objectives", "Reference networks", "Best reward (S)"),
]


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as browser:
        yield browser


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_a_real_run_is_drawn_without_complaint_or_request(real_run, browser, tmp_path, width, scheme):
    path = tmp_path / "report.html"
    write_report(real_run, path)
    browser.open(path, width=width, scheme=scheme)
    drawn = browser.evaluate(COUNT_SHAPES)
    assert set(drawn) == {f"chart-{name}" for name in CHARTS}
    assert min(drawn.values()) > 0, drawn
    assert drawn["chart-front-num_params"] > 200
    assert (
        browser.evaluate("document.querySelectorAll('#chart-choices image, #chart-choices .heatmap-label').length") > 20
    )
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    dark = browser.evaluate("getComputedStyle(document.querySelector('.xtick text')).fill") == "rgb(230, 233, 236)"
    assert dark == (scheme == "dark")
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]


def test_pointing_at_a_candidate_shows_its_stages(real_run, browser, tmp_path):
    path = tmp_path / "report.html"
    write_report(real_run, path)
    browser.open(path, width=1280)
    shown = hover(browser, "chart-front-relative_step_time", len(FRONT_TRACES) - 1)
    assert f"Trial {real_run.best['number']}" in shown
    for row in stage_rows(real_run.spec(int(real_run.best["number"]))):
        assert row[1] in shown.replace("\xa0", " ")


def hover(browser, chart, trace):
    """Point at the first point of a trace; return the text that is shown."""
    browser.evaluate(f"document.getElementById('{chart}').scrollIntoView({{behavior: 'instant'}})")
    place = browser.evaluate(
        f"(() => {{ const box = document.querySelectorAll('#{chart} .scatterlayer .trace')[{trace}]"
        ".querySelector('.point').getBoundingClientRect();"
        "return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=place["x"] - 1, y=place["y"])
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
    browser.evaluate("new Promise(done => setTimeout(done, 300))")
    return browser.evaluate(f"document.querySelector('#{chart} .hoverlayer').textContent")


def test_hostile_names_are_shown_and_do_nothing(browser, tmp_path):
    folder = make_run(tmp_path / "run", 25, num_failed=1, reason=HOSTILE, origin=HOSTILE, manifest={"data": HOSTILE})
    run = load(folder.path)
    for trial in run.candidates:
        for parts in (trial.params, trial.distributions):
            parts[HOSTILE] = parts.pop("s1_num_layers")
    path = tmp_path / "report.html"
    write_report(run, path)
    browser.open(path, width=1280)
    assert browser.evaluate("document.querySelectorAll('img, [onerror]').length") == 0
    labels = browser.evaluate(
        "[...document.querySelectorAll('#chart-importances .ytick text')].map(t => t.textContent)"
    )
    assert any(HOSTILE in label for label in labels), labels
    assert HOSTILE[:20] in hover(browser, "chart-front-num_params", FRONT_TRACES.index("Reference networks"))
    assert browser.evaluate("document.querySelectorAll('img, [onerror]').length") == 0
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
