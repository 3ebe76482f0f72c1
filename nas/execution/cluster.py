"""What a trial reserves on a node of a cluster, and how many find room there: arithmetic alone, without Ray."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nas.errors import InvalidInputError, invalid

Resources = Mapping[str, float]
"""What a node has in all, by Ray's names: "CPU", "GPU", "memory" in bytes."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What each trial reserves: one processor, and

    Attributes:
        num_gpus: A share of one GPU, above 0 and at most 1; 0 trains on the processor.
        memory_bytes: Of the node's memory; 0 reserves none.
    """

    num_gpus: float = 0.0
    memory_bytes: int = 0

    @property
    def device(self) -> str:
        """What trials call their device: a worker sees one GPU, whichever Ray gave it."""
        return "cuda" if self.num_gpus > 0 else "cpu"

    def places(self, node: Resources) -> int:
        """Return how many trials a node can hold at a time when nothing else runs there."""
        room = math.floor(node.get("CPU", 0.0))
        if self.num_gpus > 0:
            # Shares do not reach from one GPU to the next. Ray counts in ten-thousandths.
            room = min(room, math.floor(node.get("GPU", 0.0)) * math.floor(1 / self.num_gpus + 1e-4))
        if self.memory_bytes > 0:
            room = min(room, math.floor(node.get("memory", 0.0) / self.memory_bytes))
        return room

    def __str__(self) -> str:
        parts = ["1 CPU"]
        if self.num_gpus > 0:
            parts.append(f"{self.num_gpus:g} GPU")
        if self.memory_bytes > 0:
            parts.append(f"{self.memory_bytes / 2**30:.1f} GiB of memory")
        return ", ".join(parts)


def choose_demand(
    nodes: Iterable[Resources], device: str, gpus_per_trial: float | None = None, memory_per_trial: int = 0
) -> Demand:
    """Return what trials reserve on a cluster.

    Args:
        nodes: Those that are there.
        device: "cpu", "cuda", or "auto": a GPU where a node has one.
        gpus_per_trial: Share of a GPU; None for a whole one.
        memory_per_trial: Bytes; 0 reserves none.

    Raises:
        InvalidInputError: If no node could ever hold such a trial, which Ray would let wait for ever.
    """
    nodes = list(nodes)
    wants_gpu = device == "cuda" or gpus_per_trial is not None
    has_gpu = any(node.get("GPU", 0.0) > 0 for node in nodes)
    on_gpu = device != "cpu" and (wants_gpu or has_gpu)
    demand = Demand((gpus_per_trial or 1.0) if on_gpu else 0.0, memory_per_trial)
    if not any(demand.places(node) for node in nodes):
        raise no_room(demand, nodes)
    return demand


def no_room(demand: Demand, nodes: Iterable[Resources]) -> InvalidInputError:
    """Build the error for a cluster none of whose nodes could hold a trial."""
    found = "; ".join(map(describe_node, nodes)) or "no node"
    return invalid("cluster", f"one with a node that has {demand}", found, "Add such a node, or let trials ask less.")


def describe_node(node: Resources) -> str:
    """Return what a node has, for example "8 CPU, 2 GPU, 60.5 GiB"."""
    gpus = [f"{node['GPU']:g} GPU"] if node.get("GPU", 0.0) > 0 else []
    return ", ".join([f"{node.get('CPU', 0.0):g} CPU", *gpus, f"{node.get('memory', 0.0) / 2**30:.1f} GiB"])
