"""The default space: EfficientNetV2's choices for images of 28 to 64 pixels.

Four stages instead of six, and a total stride of 8, so that at 32 pixels the last feature map is 4x4 (the published
strides would leave 1x1). Where to downsample is a choice of its own. Layers and widths vary by factors of 3 to 6 in
each stage, because networks that hardly differ cannot be ranked by short training; the bounds keep a training step
affordable on a CPU. How far the networks differ, and how noisy that is, is measured in results/fashion_hard.
"""

from nas.space import Bounds, Params, Skeleton, StageChoices, StagewiseSpace


def _reference(blocks: tuple[str, str, str, str]) -> Params:
    """Return EfficientNetV2's proportions (3x3 kernels, few early layers, more late ones) with the given blocks."""
    params: dict[str, str | int] = {"strides": "2-1-2-2-1"}
    expand_ratios, num_layers, widths = (1, 4, 4, 4), (1, 2, 2, 2), (8, 16, 32, 64)
    for index in range(4):
        params |= {
            f"s{index + 1}_block": blocks[index],
            f"s{index + 1}_expand_ratio": expand_ratios[index],
            f"s{index + 1}_kernel_size": 3,
            f"s{index + 1}_num_layers": num_layers[index],
            f"s{index + 1}_out_channels": widths[index],
        }
    return params


space = StagewiseSpace(
    "efficientnet_v2_tiny",
    stages=(
        StageChoices(num_layers=(1, 2, 3), out_channels=(8, 12, 16)),
        StageChoices(num_layers=(1, 2, 3), out_channels=(8, 16, 32)),
        StageChoices(num_layers=(1, 2, 4), out_channels=(12, 32, 80)),
        StageChoices(num_layers=(1, 2, 4), out_channels=(24, 64, 160)),
    ),
    skeleton=Skeleton(
        stem_channels=8,
        head_channels=128,
        # Stem first. Each multiplies to 8; the earlier the strides, the cheaper the step.
        strides=((2, 1, 2, 2, 1), (2, 2, 1, 2, 1), (2, 2, 2, 1, 1), (2, 1, 2, 1, 2), (1, 2, 2, 2, 1)),
        train_image_size=32,
        dropout=0.1,
        stochastic_depth=0.0,
    ),
    bounds=Bounds(min_num_params=50_000, max_num_params=2_000_000, max_num_macs=8_000_000, max_num_activations=56_000),
    references={
        "efficientnet_v2_like": _reference(("fused", "fused", "mbconv", "mbconv")),
        "efficientnet_v1_like": _reference(("mbconv", "mbconv", "mbconv", "mbconv")),
        "all_fused": _reference(("fused", "fused", "fused", "fused")),
    },
)
