import io

import pytest
from rich.console import Console

from nas.complexity import complexity
from nas.results import load
from nas.results.tables import (
    family_markdown,
    family_members,
    family_table,
    front_table,
    short_count,
    stage_markdown,
    stage_rows,
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
TABLE_4 = """
| Stage | Operator | Stride | #Channels | #Layers |
| --- | --- | ---: | ---: | ---: |
| 0 | Conv3x3 | 2 | 24 | 1 |
| 1 | Fused-MBConv1, k3x3 | 1 | 24 | 2 |
| 2 | Fused-MBConv4, k3x3 | 2 | 48 | 4 |
| 3 | Fused-MBConv4, k3x3 | 2 | 64 | 4 |
| 4 | MBConv4, k3x3, SE0.25 | 2 | 128 | 6 |
| 5 | MBConv6, k3x3, SE0.25 | 1 | 160 | 9 |
| 6 | MBConv6, k3x3, SE0.25 | 2 | 256 | 15 |
| 7 | Conv1x1 & Pooling & FC | - | 1280 | 1 |
""".strip()


def shown(table):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_stage_table_is_the_papers():
    assert stage_markdown(S) == TABLE_4
    text = shown(stage_table(S, "S"))
    assert all(cell in text for row in stage_rows(S) for cell in row)


def test_summary_is_one_short_line():
    assert S.summary == "F1k3c24x2 F4k3c48x4 F4k3c64x4 M4k3c128x6 M6k3c160x9 M6k3c256x15"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (999, "999"), (1_000, "1.00k"), (59_449, "59.4k"), (999_499, "999k"), (999_600, "1.00M")),
        *((21_458_488, "21.5M"), (118_515_272, "119M"), (8_370_000_000, "8.37G"), (1_234_000_000_000, "1.23T")),
    ],
)
def test_short_counts(number, text):
    assert short_count(number) == text


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


def test_the_front_says_where_step_times_are_not_measured(searched):
    front = load(searched.path).pareto
    assert "predicted" not in shown(front_table(front))
    predicted = front.assign(step_time_source="predicted on H100", step_time_error=0.052)
    assert "step times predicted on H100 (error 5%)" in shown(front_table(predicted))


def test_family_tables_show_the_cost_at_the_eval_size():
    (member,) = family_members({"S": S}, num_classes=1000, in_channels=3)
    assert member.num_params == 21_458_488
    assert member.num_macs == complexity(S, num_classes=1000, in_channels=3, image_size=384).num_macs
    assert member.image_sizes == (300, 384)
    page = family_markdown([member], title="T")
    assert page.startswith("# T\n")
    assert "| S | 21.5M | 8.3" in page
    assert TABLE_4 in page
    assert "21.5M" in shown(family_table([member]))
