"""What notebooks show: `_repr_html_` of networks, families and runs."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given

from tests.results.conftest import run_in_memory
from tests.strategies import arch_specs


class Tables(HTMLParser):
    """Collects the cells of every table, row by row, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.captions = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag in ("table", "caption", "tr", "th", "td"), tag
        assert not attrs
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "caption":
            self.captions.append("")
        elif tag == "tr":
            self.tables[-1].append([])
        else:
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] == "caption":
            self.captions[-1] += data
        else:
            self.tables[-1][-1][-1] += data


@given(arch_specs())
def test_a_network_shows_its_stages(spec):
    parsed = Tables(spec._repr_html_())
    [[head, *rows]] = parsed.tables
    assert head[:3] == ["stage", "block", "expand_ratio"]
    assert [row[:3] for row in rows] == [
        [str(number), stage.block, str(stage.expand_ratio)] for number, stage in enumerate(spec.stages, start=1)
    ]
    assert all(len(row) == len(head) for row in rows)
    assert parsed.captions[0].startswith(f"{spec.name or spec.arch_id}: stem of {spec.stem_channels} channels")


def test_names_are_text_whatever_they_hold():
    run = run_in_memory(20, path=Path("<i>run"))
    run.manifest = replace(run.manifest, data="<script>alert(1)</script>")
    spec = replace(run.spec(int(run.best["number"])), name='<img src="x">')
    assert Tables(spec._repr_html_()).captions[0].startswith('<img src="x">: ')
    assert "<i>run: small on <script>alert(1)</script>" in Tables(run._repr_html_()).captions[0]


def test_a_run_shows_counts_and_the_head_of_its_front():
    run = run_in_memory(60)
    parsed = Tables(run._repr_html_())
    [[head, *rows]] = parsed.tables
    assert parsed.captions[0].endswith(f"{len(run.pareto)} on the front")
    assert [row[head.index("Trial")] for row in rows] == [str(number) for number in run.pareto["number"].head(10)]
    assert len(Tables(run_in_memory(0)._repr_html_()).tables[0]) == 1, "an empty run has a head alone"


def test_a_family_shows_costs_and_stages():
    family = run_in_memory(20).family()
    costs, *stages = Tables(family._repr_html_()).tables
    assert [row[0] for row in costs[1:]] == list(family) == ["S", "M", "L"]
    assert [len(rows) - 1 for rows in stages] == [len(spec.stages) for spec in family.values()]
