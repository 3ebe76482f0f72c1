"""The same network in timm, for specs that timm can build."""

from functools import partial

import torch
from hypothesis import strategies as st

from nas import ArchSpec, StageSpec
from nas.models.builder import EfficientNet
from tests.strategies import arch_specs

TINY = ArchSpec(
    stem_channels=8,
    stages=(
        StageSpec("fused", 1, 3, 1, 8, 1),
        StageSpec("fused", 4, 3, 2, 16, 2),
        StageSpec("mbconv", 4, 3, 2, 24, 2, 0.25),
    ),
    head_channels=32,
)


@st.composite
def timm_specs(draw: st.DrawFn) -> ArchSpec:
    """Networks within timm's rules: channels are multiples of 8, the stem has stride 2."""
    spec = draw(arch_specs(max_channels=3, max_layers=2))
    return ArchSpec(
        stem_channels=8 * spec.stem_channels,
        stages=tuple(
            StageSpec(
                stage.block,
                stage.expand_ratio,
                stage.kernel_size,
                stage.stride,
                8 * stage.out_channels,
                stage.num_layers,
                stage.se_ratio,
            )
            for stage in spec.stages
        ),
        head_channels=8 * spec.head_channels,
    )


def timm_network(spec: ArchSpec, num_classes: int) -> torch.nn.Module:
    from timm.layers import BatchNormAct2d
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet as TimmEfficientNet

    return TimmEfficientNet(
        block_args=decode_arch_def([[_block_string(stage)] for stage in spec.stages]),
        num_classes=num_classes,
        num_features=spec.head_channels,
        stem_size=spec.stem_channels,
        fix_stem=True,
        act_layer=torch.nn.SiLU,
        norm_layer=partial(BatchNormAct2d, eps=1e-3),
        output_stride=2**10,
    )


def _block_string(stage: StageSpec) -> str:
    kinds = {("mbconv", True): "ir", ("mbconv", False): "ds", ("fused", True): "er", ("fused", False): "cn"}
    kind = kinds[stage.block, stage.expand_ratio > 1]
    expansion = f"_e{stage.expand_ratio}" if stage.expand_ratio > 1 else ""
    se = f"_se{stage.se_ratio}" if stage.se_ratio else ""
    skip = "_skip" if kind == "cn" else ""
    return f"{kind}_r{stage.num_layers}_k{stage.kernel_size}_s{stage.stride}{expansion}_c{stage.out_channels}{se}{skip}"


def randomise(model: torch.nn.Module) -> None:
    """Give every tensor of a network values of its own, with statistics that keep features apart to the last layer."""
    generator = torch.Generator().manual_seed(1)
    norms = [module for module in model.eval().modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.1)
        for norm in norms:
            norm.train().momentum = 1.0
        channels = next(model.parameters()).shape[1]
        model(torch.randn(8, channels, 33, 33, generator=generator))
        for norm in norms:
            norm.eval().momentum = 0.1


def logits(model: torch.nn.Module, channels: int = 3, size: int = 33) -> torch.Tensor:
    images = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out: torch.Tensor = model.eval()(images)
    assert not out[0].equal(out[1])  # Else the logits would say nothing of the features.
    return out


def snapshot(model: EfficientNet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
