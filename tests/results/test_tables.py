import io
from dataclasses import replace

from rich.console import Console

from nas.complexity import complexity
from nas.models.tables import stage_markdown, stage_rows
from nas.results import load
from nas.results.tables import (
    MemberTimes,
    family_markdown,
    family_members,
    family_table,
    front_rows,
    front_table,
    stage_table,
)
from nas.spec import ArchSpec, StageSpec

# EfficientNetV2-S as the paper's Table 4 shows it, with the released code's last two widths.
S = ArchSpec(
    stem_channels=24,
    stages=(
        StageSpec("fused", 1, 3, 1, 24, 2),
        StageSpec("fused", 4, 3, 2, 48, 4),
        StageSpec("fused", 4, 3, 2, 64, 4),
        StageSpec("mbconv", 4, 3, 2, 128, 6, 0.25),
        StageSpec("mbconv", 6, 3, 1, 160, 9, 0.25),
        StageSpec("mbconv", 6, 3, 2, 256, 15, 0.25),
    ),
    head_channels=1280,
    train_image_size=300,
    eval_image_size=384,
)


def shown(table):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_stage_table_has_the_papers_cells():
    text = shown(stage_table(S, "S"))
    assert all(cell in text for row in stage_rows(S) for cell in row)


def test_summary_is_one_short_line():
    assert S.summary == "F1k3c24x2 F4k3c48x4 F4k3c64x4 M4k3c128x6 M6k3c160x9 M6k3c256x15"


def test_front_table_shows_the_first_rows_with_their_noise(searched):
    run = load(searched.path)
    text = shown(front_table(run.pareto, max_rows=2))
    assert f"2 of {len(run.pareto)}" in text
    for row in run.pareto.head(2).to_dict("records"):
        assert f"{row['accuracy']:.2%} ± {row['accuracy_stderr']:.2%}" in text
        assert row["arch"] in text
    assert run.pareto.iloc[2]["arch"] not in text
    assert f" of {len(run.pareto)}" not in shown(front_table(run.pareto, max_rows=100))
    assert shown(front_table(run.pareto.iloc[:0]))


def test_the_front_marks_what_noise_does_not_set_apart(searched):
    front = load(searched.path).pareto.head(3)
    assert len(front) == 3
    ranks = [
        row[0] for row in front_rows(front.assign(is_tied=[False, True, False], ties_with_best=[True, True, False]))
    ]
    assert ranks == ["1", "2 =?", "3"]
    assert "= within noise of the best" in shown(front_table(front))


def test_the_front_says_where_step_times_are_not_measured(searched):
    front = load(searched.path).pareto
    assert "predicted" not in shown(front_table(front))
    predicted = front.assign(timing_source="predicted on H100", timing_error_fraction=0.052)
    assert "step times predicted on H100 (error 5%)" in shown(front_table(predicted))


def test_family_tables_show_the_cost_at_the_eval_size():
    (member,) = family_members({"S": S}, num_classes=1000, in_channels=3)
    assert member.num_params == 21_458_488
    assert member.num_macs == complexity(S, num_classes=1000, in_channels=3, image_size=384).num_macs
    assert member.image_sizes == (300, 384)
    page = family_markdown([member], title="T")
    assert page.startswith("# T\n")
    assert "| S | 21.5M | 8.3" in page
    assert stage_markdown(S) in page
    assert "21.5M" in shown(family_table([member]))


def test_family_tables_show_step_times_where_there_are_any():
    small, large = family_members({"S": S, "M": S}, num_classes=1000, in_channels=3)
    large = replace(large, times=MemberTimes(0.1234, 0.0021, 2.5, 0.04))
    for text in (shown(family_table([small, large])), family_markdown([small, large], title="T")):
        assert "Step (ms)" in text
        assert "123.40 (2.10)" in text
        assert "2.50 (0.04)" in text
    assert "Step" not in family_markdown([small], title="T")
