"""A small space with a table of measured networks: 27 configurations, 21 networks."""

import csv

from nas.complexity import complexity
from nas.evaluation.table import TableRow, TabularSpace
from nas.spec import ArchSpec, StageSpec


class SmallTabularSpace(TabularSpace):
    """One stage; with kernel 1 it has one layer, whatever `layers` says."""

    columns = ("net", "first", "second", "params", "macs")
    num_classes = 10
    in_channels = 3

    def __init__(self):
        super().__init__("small_tabular", {"width": (8, 16, 24), "kernel": (1, 3, 5), "layers": (1, 2, 3)})

    def decode(self, params):
        self.check(params)
        layers = 1 if params["kernel"] == 1 else params["layers"]
        stage = StageSpec("fused", 1, params["kernel"], 2, params["width"], layers)
        return ArchSpec(8, (stage,), 16, stem_stride=1, train_image_size=16, dropout=0.0, stochastic_depth=0.0)

    def encode(self, spec):
        stage = spec.stages[0]
        return {"width": stage.out_channels, "kernel": stage.kernel_size, "layers": stage.num_layers}

    def read_row(self, row):
        width, kernel, layers = (int(word) for word in row["net"].split("-"))
        return TableRow(
            params={"width": width, "kernel": kernel, "layers": layers},
            accuracies=(float(row["first"]), float(row["second"])),
            num_params=int(row["params"]),
            num_macs=int(row["macs"]),
        )


space = SmallTabularSpace()


def rows():
    """Return the table, a row a configuration: accuracy grows with the parameters, and the two trainings differ."""
    found = []
    for width in space.choices["width"]:
        for kernel in space.choices["kernel"]:
            for layers in space.choices["layers"]:
                spec = space.decode({"width": width, "kernel": kernel, "layers": layers})
                cost = complexity(spec, num_classes=10, in_channels=3)
                accuracy = 1 - 10 / (cost.num_params + 20) ** 0.5
                found.append(
                    {"net": f"{width}-{kernel}-{layers}", "first": accuracy - 0.01, "second": accuracy + 0.01}
                    | {"params": cost.num_params, "macs": cost.num_macs}
                )
    return found


def write_table(path, table=None):
    """Write rows, by default all of them, as a CSV file."""
    table = rows() if table is None else table
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path
