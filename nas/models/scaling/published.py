"""Where the published tables differ from the scaling rule: by size and stage, (published, rule) channels.

Nothing else differs: no layers, strides, kernels, stems, heads, image sizes or dropout. The tables prefer rounder
numbers than a rule gives; the authors took S's 256 for being friendlier to hardware (google/automl, issue 999).
"""

FROM_BASE = {
    ("S", 4): (128, 136),
    ("S", 6): (256, 272),
    ("M", 4): (160, 152),
}
"""By `scale_base` from B0; none in L and XL."""

FROM_S = {
    ("M", 4): (160, 144),
    ("M", 6): (304, 296),
    ("M", 7): (512, 488),
    ("L", 4): (192, 184),
    ("L", 6): (384, 368),
    ("L", 7): (640, 616),
    ("XL", 4): (192, 184),
    ("XL", 6): (512, 488),
    ("XL", 7): (640, 616),
}
"""By `scale_family` from the published S."""
