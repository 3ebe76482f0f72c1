"""The space of NAS-Bench-Macro, all of whose networks were trained on CIFAR-10 (Su et al. 2021, arXiv 2103.11922).

Eight layers in stages of 2, 3 and 3; each is an identity, MBConv3 with a 3x3 kernel or MBConv6 with a 5x5 one, without
squeeze-excitation. Of the 3**8 = 6,561 choices 3,969 are distinct networks: an identity changes nothing unless it is
the first of its stage, where a 1x1 convolution with stride 2 takes its place. Parameters and multiply-adds are the
table's to the last one; activations are SiLU, as everywhere in this toolkit.

The table is a CSV file with a row a network: `arch`, a digit a layer (0 identity, 1 MBConv3, 2 MBConv6), `acc1` to
`acc3`, the test accuracies of three trainings in percent, `params` and `flops`, which are multiply-adds. With it
`--table FILE --objective accuracy-macs` searches in seconds. Without, the networks are trained like those of any space.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby

from nas.errors import invalid
from nas.evaluation.table import TableRow, TabularSpace
from nas.space import Params, Value
from nas.spec import ArchSpec, BlockKind, BlockSpec, StageSpec

IDENTITY = "identity"
OPERATIONS: dict[str, tuple[BlockKind, int, int]] = {
    IDENTITY: ("fused", 1, 1),
    "mbconv3_k3": ("mbconv", 3, 3),
    "mbconv6_k5": ("mbconv", 6, 5),
}
"""Block, expansion ratio and kernel size by name, in the order of the digits; the identity's where it is first."""

STAGES = {64: 2, 128: 3, 256: 3}
"""Layers by the stage's channels."""

_LAYERS = tuple((width, f"s{stage}_layer{layer}") for stage, (width, num_layers) in enumerate(STAGES.items(), start=1)
                for layer in range(1, num_layers + 1))  # fmt: skip


class NasBenchMacro(TabularSpace):
    """Parameters are called `s1_layer1`, `s1_layer2`, `s2_layer1` and so on."""

    columns = ("arch", "acc1", "acc2", "acc3", "params", "flops")
    num_classes = 10
    in_channels = 3

    def __init__(self) -> None:
        super().__init__("nas_bench_macro", {name: tuple(OPERATIONS) for _, name in _LAYERS})

    def decode(self, params: Params) -> ArchSpec:
        self.check(params)
        stages: list[StageSpec] = []
        for width, layers in groupby(_LAYERS, key=lambda layer: layer[0]):
            first, *others = (str(params[name]) for _, name in layers)
            stages += _stages(width, [first, *(name for name in others if name != IDENTITY)])
        return ArchSpec(
            stem_channels=32,
            stem_stride=1,
            stages=tuple(stages),
            head_channels=1280,
            dropout=0.0,
            stochastic_depth=0.0,
            train_image_size=32,
        )

    def encode(self, spec: ArchSpec) -> dict[str, Value]:
        names = {operation: name for name, operation in OPERATIONS.items()}
        params: dict[str, Value] = dict.fromkeys(self.choices, IDENTITY)
        by_width = groupby(spec.blocks(), key=lambda block: block.out_channels)
        for stage, (_, blocks) in enumerate(by_width, start=1):
            for layer, block in enumerate(blocks, start=1):
                params[f"s{stage}_layer{layer}"] = names.get(_operation(block), "")
        try:
            found = self.decode(params).arch_id
        except ValueError:  # too many layers, or one that the space lacks
            found = ""
        if found != spec.arch_id:
            raise invalid("architecture", f"one of space {self.name}", spec.name or spec.arch_id, "Use another space.")
        return params

    def read_row(self, row: Mapping[str, str]) -> TableRow:
        operations = tuple(OPERATIONS)
        digits = [int(digit) for digit in row["arch"]]
        return TableRow(
            params={name: operations[digit] for (_, name), digit in zip(_LAYERS, digits, strict=True)},
            accuracies=tuple(float(row[name]) / 100 for name in ("acc1", "acc2", "acc3")),
            num_params=int(row["params"]),
            num_macs=int(row["flops"]),
        )


def _stages(width: int, layers: list[str]) -> Iterator[StageSpec]:
    """Yield the layers of a stage, equal ones in a row as one `StageSpec`; the first layer of all has the stride."""
    for place, (name, run) in enumerate(groupby(layers)):
        block, expand_ratio, kernel_size = OPERATIONS[name]
        yield StageSpec(block, expand_ratio, kernel_size, 2 if place == 0 else 1, width, len(list(run)))


def _operation(block: BlockSpec) -> tuple[BlockKind, int, int]:
    return block.kind, block.hidden_channels // block.in_channels, block.kernel_size


space = NasBenchMacro()
