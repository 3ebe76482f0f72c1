"""Networks to export, with statistics that are not those of a new network, and files run as Python."""

from pathlib import Path
from types import SimpleNamespace

import torch

from nas import ArchSpec, StageSpec
from nas.models import BuildOptions, EfficientNet, get_arch, get_options
from nas.models.export import Network
from nas.models.options import DEFAULT_OPTIONS

RESULTS = Path(__file__).parents[3] / "results"

# Every kind of block that all peers can say, with and without a skip connection.
COMMON = ArchSpec(
    stem_channels=16,
    stages=(
        StageSpec("mbconv", 1, 5, 1, 16, 2, se_ratio=0.25),
        StageSpec("fused", 1, 3, 2, 24, 2),
        StageSpec("fused", 4, 5, 1, 24, 2),
        StageSpec("mbconv", 3, 7, 2, 40, 3, se_ratio=0.25),
    ),
    head_channels=50,
    dropout=0.3,
    stochastic_depth=0.4,
    train_image_size=40,
)
# What only we and the file of our own can say: odd channels, squeeze-excitation in a fused stage and its absence.
ODD = ArchSpec(
    stem_channels=5,
    stages=(
        StageSpec("fused", 2, 3, 1, 5, 2, se_ratio=0.5),
        StageSpec("mbconv", 3, 1, 2, 7, 2),
        StageSpec("mbconv", 2, 5, 1, 9, 1, se_ratio=0.1),
    ),
    head_channels=11,
    stem_stride=1,
    train_image_size=24,
)
SPECS = {
    "found S": ArchSpec.load(RESULTS / "fashion_hard_200/S.json"),
    "found M": ArchSpec.load(RESULTS / "fashion_hard_200/M.json"),
    "B0": get_arch("efficientnet_v2_b0"),
    "common": COMMON,
}

# What a spec leaves open, other than by default.
OPTIONS = {"same": get_options("timm_tf"), "norm": BuildOptions(norm_eps=1e-5, norm_momentum=0.25)}


def network_of(
    spec: ArchSpec, num_classes: int = 7, in_channels: int = 3, options: BuildOptions = DEFAULT_OPTIONS
) -> Network:
    """Return a network without weights, for small images."""
    size = min(spec.train_image_size, 64)
    return Network(spec, num_classes, in_channels, image_size=size, options=options)


def warmed(network: Network) -> EfficientNet:
    """Build a network and let it see images, so that its statistics count."""
    torch.manual_seed(0)
    model = network.build().train()
    with torch.no_grad():
        model(torch.randn(16, network.in_channels, network.image_size, network.image_size))
    return model.eval()


def run(code: str) -> SimpleNamespace:
    """Run a generated file on its own and return what it defines."""
    found: dict[str, object] = {"__name__": "generated"}
    exec(compile(code, "generated.py", "exec"), found)
    return SimpleNamespace(**found)
