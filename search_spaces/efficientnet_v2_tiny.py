"""The default space: EfficientNetV2's choices for images of 28 to 64 pixels.

Four stages instead of six, and a total stride of 8, so that at 32 pixels the last feature map is 4x4 (the published
strides would leave 1x1). Where to downsample is a choice of its own. Layers, widths and places vary widely, because
networks that hardly differ cannot be ranked by short training; the bounds keep a training step affordable on a CPU.
"""

from nas.space import Bounds, Skeleton, StageChoices, StagewiseSpace

space = StagewiseSpace(
    "efficientnet_v2_tiny",
    stages=(
        StageChoices(num_layers=(1, 2, 3), out_channels=(8, 16, 24)),
        StageChoices(num_layers=(1, 2, 3), out_channels=(16, 24, 40)),
        StageChoices(num_layers=(1, 2, 3), out_channels=(24, 48, 80)),
        StageChoices(num_layers=(1, 2, 3), out_channels=(40, 80, 160)),
    ),
    skeleton=Skeleton(
        stem_channels=16,
        head_channels=256,
        # Stem first. Each multiplies to 8; the earlier the strides, the cheaper the step.
        strides=((2, 1, 2, 2, 1), (2, 2, 1, 2, 1), (2, 2, 2, 1, 1), (2, 1, 1, 2, 2), (1, 2, 2, 2, 1)),
        train_image_size=32,
        dropout=0.1,
        stochastic_depth=0.0,
    ),
    bounds=Bounds(min_num_params=50_000, max_num_params=2_000_000, max_num_activations=64_000, max_num_macs=10_000_000),
    references={} if True else {
        "efficientnet_v2_like": {
            "strides": "2-1-2-2-1",
            "s1_block": "fused",
            "s1_expand_ratio": 1,
            "s1_kernel_size": 3,
            "s1_num_layers": 1,
            "s1_out_channels": 16,
            "s2_block": "fused",
            "s2_expand_ratio": 4,
            "s2_kernel_size": 3,
            "s2_num_layers": 2,
            "s2_out_channels": 24,
            "s3_block": "mbconv",
            "s3_expand_ratio": 4,
            "s3_kernel_size": 3,
            "s3_num_layers": 2,
            "s3_out_channels": 48,
            "s4_block": "mbconv",
            "s4_expand_ratio": 6,
            "s4_kernel_size": 3,
            "s4_num_layers": 3,
            "s4_out_channels": 80,
        },
        "efficientnet_v1_like": {
            "strides": "2-1-2-2-1",
            "s1_block": "mbconv",
            "s1_expand_ratio": 1,
            "s1_kernel_size": 3,
            "s1_num_layers": 1,
            "s1_out_channels": 16,
            "s2_block": "mbconv",
            "s2_expand_ratio": 4,
            "s2_kernel_size": 3,
            "s2_num_layers": 2,
            "s2_out_channels": 24,
            "s3_block": "mbconv",
            "s3_expand_ratio": 4,
            "s3_kernel_size": 5,
            "s3_num_layers": 2,
            "s3_out_channels": 48,
            "s4_block": "mbconv",
            "s4_expand_ratio": 6,
            "s4_kernel_size": 3,
            "s4_num_layers": 3,
            "s4_out_channels": 80,
        },
    },
)
