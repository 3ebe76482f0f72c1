import pytest

from nas.models import get_arch
from nas.models.tables import short_count, stage_markdown

# EfficientNetV2-S as the paper's Table 4 shows it, with the released code's last two widths.
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


def test_the_stage_table_is_the_papers():
    assert stage_markdown(get_arch("efficientnet_v2_s")) == TABLE_4


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (999, "999"), (1_000, "1.00k"), (59_449, "59.4k"), (999_499, "999k"), (999_600, "1.00M")),
        *((21_458_488, "21.5M"), (118_515_272, "119M"), (8_370_000_000, "8.37G"), (1_234_000_000_000, "1.23T")),
    ],
)
def test_short_counts(number, text):
    assert short_count(number) == text
