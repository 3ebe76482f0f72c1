"""Hypothesis strategies for networks, shared by the tests of everything that takes one."""

from hypothesis import strategies as st

from nas import ArchSpec, StageSpec
from nas.models import BuildOptions


@st.composite
def stage_specs(draw: st.DrawFn, max_channels: int = 48, max_layers: int = 3) -> StageSpec:
    block = draw(st.sampled_from(["mbconv", "fused"]))
    expand_ratio = draw(st.sampled_from([1, 2, 4, 6]))
    single_conv = block == "fused" and expand_ratio == 1
    return StageSpec(
        block=block,
        expand_ratio=expand_ratio,
        kernel_size=draw(st.sampled_from([1, 3, 5, 7])),
        stride=draw(st.sampled_from([1, 2])),
        out_channels=draw(st.integers(1, max_channels)),
        num_layers=draw(st.integers(1, max_layers)),
        se_ratio=0.0 if single_conv else draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    )


@st.composite
def arch_specs(draw: st.DrawFn, max_stages: int = 4, max_channels: int = 48, max_layers: int = 3) -> ArchSpec:
    stages = st.lists(stage_specs(max_channels, max_layers), min_size=1, max_size=max_stages)
    probabilities = st.floats(0, 1, exclude_max=True)
    image_sizes = st.integers(1, 512)
    return ArchSpec(
        stem_channels=draw(st.integers(1, max_channels)),
        stages=tuple(draw(stages)),
        head_channels=draw(st.integers(1, max_channels)),
        stem_stride=draw(st.sampled_from([1, 2])),
        dropout=draw(probabilities),
        stochastic_depth=draw(probabilities),
        train_image_size=draw(image_sizes),
        eval_image_size=draw(st.none() | image_sizes),
        name=draw(st.text(max_size=8)),
    )


@st.composite
def build_options(draw: st.DrawFn) -> BuildOptions:
    return BuildOptions(
        padding=draw(st.sampled_from(["symmetric", "same"])),
        norm_eps=draw(st.sampled_from([1e-3, 1e-5])),
        norm_momentum=draw(st.sampled_from([0.01, 0.1, 1.0])),
        init=draw(st.sampled_from(["google", "torchvision"])),
    )
