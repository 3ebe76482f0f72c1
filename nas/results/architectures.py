"""Architectures as a table: one row per stage of every candidate."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from nas.complexity import complexity_by_stage
from nas.results.manifest import Manifest
from nas.spec import ArchSpec

ARCHITECTURE_DTYPES = {
    "number": "int64",
    "arch_id": "string",
    "stage": "int64",
    "block": "string",
    "expand_ratio": "Int64",
    "kernel_size": "int64",
    "stride": "int64",
    "in_channels": "int64",
    "out_channels": "int64",
    "num_layers": "int64",
    "se_ratio": "float64",
    "in_size": "int64",
    "out_size": "int64",
    "num_params": "int64",
    "num_macs": "int64",
}


def architectures_frame(trials: pd.DataFrame, specs: Mapping[int, ArchSpec], manifest: Manifest) -> pd.DataFrame:
    """Return the stages of all candidates of a run, failed ones too, in the order of the candidates and of the stages.

    Columns:

    - `number`, `arch_id`: the candidate's, as in its row of `trials`,
    - `stage`: 0 for the stem, then 1, 2 and so on, and one more for the head with the classifier, as the paper's
      Table 4 counts,
    - `block`: "mbconv" or "fused"; "stem" and "head" in those rows,
    - `expand_ratio`, `se_ratio`: of the stage; missing for stem and head,
    - `kernel_size`: pixels a side of the spatial convolution,
    - `stride`: of the first block,
    - `in_channels`, `out_channels`: channels that come in and go out,
    - `num_layers`: blocks in the stage,
    - `in_size`, `out_size`: pixels a side of the maps that come in and go out, for images of `step_image_size`, or of
      the network's training size where no step was timed,
    - `num_params`: learnable parameters of the stage,
    - `num_macs`: multiply-adds of the stage in one forward pass of one such image.

    The last two add up to the candidate's in `trials`.

    Args:
        trials: As `trials_frame` gives them.
        specs: Number of each candidate to its network.
        manifest: Tells the classes and the channels of an image.
    """
    sizes = trials["step_image_size"].tolist()
    rows = [
        {"number": number, "arch_id": arch_id, **row}
        for number, arch_id, size in zip(trials["number"].tolist(), trials["arch_id"].tolist(), sizes, strict=True)
        for row in _stages(specs[number], None if pd.isna(size) else int(size), manifest)
    ]
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in ARCHITECTURE_DTYPES.items()}
    )


def _stages(spec: ArchSpec, image_size: int | None, manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Yield a row each for the stem, the stages and the head."""
    size = image_size or spec.train_image_size
    costs = complexity_by_stage(
        spec, num_classes=manifest.num_classes, in_channels=manifest.in_channels, image_size=size
    )
    channels = manifest.in_channels
    for number, (layer, cost) in enumerate(zip(_layers(spec), costs, strict=True)):
        yield {
            "stage": number,
            **layer,
            "in_channels": channels,
            "in_size": size,
            "out_size": cost.size,
            "num_params": cost.num_params,
            "num_macs": cost.num_macs,
        }
        channels, size = layer["out_channels"], cost.size


def _layers(spec: ArchSpec) -> Iterator[dict[str, Any]]:
    """Yield what the spec says of the stem, of each stage and of the head."""
    fixed = {"expand_ratio": None, "se_ratio": None, "num_layers": 1}
    yield {
        **fixed,
        "block": "stem",
        "kernel_size": 3,
        "stride": spec.stem_stride,
        "out_channels": spec.stem_channels,
    }
    for stage in spec.stages:
        yield asdict(stage)
    yield {**fixed, "block": "head", "kernel_size": 1, "stride": 1, "out_channels": spec.head_channels}
