"""The search space of EfficientNetV2 (Tan & Le 2021, section 3.3): stage-wise choices around EfficientNet-B4.

Per stage: MBConv or Fused-MBConv, kernel 3 or 5, expansion 1, 4 or 6, one layer fewer or more than the backbone, and a
width of 0.75, 1 or 1.25 times the backbone's. The paper prints no layer options; one fewer, as many, or one more are
those of MnasNet (Tan et al. 2019, section 4.1), whose space it follows, and so are the widths. The paper itself reuses
the backbone's channels: `space_fixed_width` does that and holds 36**6 = 2.2e9 networks.

EfficientNet has a seventh stage, with stride 1 and 448 channels in B4. One finding of the paper's search is that it
can go; both spaces leave it out, and scaling to M and L (`nas.models.scaling`) adds such a stage again.

The spec's image sizes are those of the final training, 300 pixels, and validation, 384. The paper trains its
candidates for about 10 epochs at a reduced image size that it does not state; set one with `--fidelity`, for example
`--fidelity 10000x10@128`.
"""

from nas.models.zoo import Row, round_channels
from nas.space import Skeleton, StageChoices, StagewiseSpace, Value

BACKBONE: tuple[Row, ...] = (
    ("mbconv", 1, 3, 1, 24, 2),
    ("mbconv", 6, 3, 2, 32, 4),
    ("mbconv", 6, 5, 2, 56, 4),
    ("mbconv", 6, 3, 2, 112, 6),
    ("mbconv", 6, 5, 1, 160, 6),
    ("mbconv", 6, 5, 2, 272, 8),
)
"""EfficientNet-B4 without its last stage."""

WIDTHS = (0.75, 1.0, 1.25)

_SKELETON = Skeleton(
    stem_channels=48,
    head_channels=1792,
    strides=((2, *(stride for _, _, _, stride, _, _ in BACKBONE)),),
    train_image_size=300,
    eval_image_size=384,
)


_S_LIKE: tuple[Row, ...] = (
    ("fused", 1, 3, 1, 24, 2),
    ("fused", 4, 3, 2, 32, 4),
    ("fused", 4, 3, 2, 56, 4),
    ("mbconv", 4, 3, 2, 112, 6),
    ("mbconv", 6, 3, 1, 160, 7),
    ("mbconv", 6, 3, 2, 272, 9),
)
"""EfficientNetV2-S as near as both spaces come to it: its blocks, expansions and kernels, the backbone's widths, and of
its 9 and 15 layers in the last stages one more than the backbone's."""


def _params(rows: tuple[Row, ...]) -> dict[str, Value]:
    params: dict[str, Value] = {}
    for index, (block, expand_ratio, kernel_size, _, out_channels, num_layers) in enumerate(rows, start=1):
        params |= {
            f"s{index}_block": block,
            f"s{index}_expand_ratio": expand_ratio,
            f"s{index}_kernel_size": kernel_size,
            f"s{index}_out_channels": out_channels,
            f"s{index}_num_layers": num_layers,
        }
    return params


def _space(name: str, widths: tuple[float, ...]) -> StagewiseSpace:
    stages = tuple(
        StageChoices(
            num_layers=tuple(sorted({max(1, num_layers + change) for change in (-1, 0, 1)})),
            out_channels=tuple(sorted({round_channels(out_channels, width) for width in widths})),
        )
        for *_, out_channels, num_layers in BACKBONE
    )
    references = {"efficientnet_v2_s_like": _params(_S_LIKE), "efficientnet_b4_like": _params(BACKBONE)}
    return StagewiseSpace(name, stages, _SKELETON, references=references)


space = _space("efficientnet_v2", WIDTHS)
space_fixed_width = _space("efficientnet_v2_fixed_width", (1.0,))
