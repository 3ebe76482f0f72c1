"""What trials reserve on a cluster, by arithmetic alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InvalidInputError
from nas.execution.cluster import Demand, choose_demand

GIB = 2**30
HEAD = {"CPU": 0.0, "memory": 8.0 * GIB}
PLAIN = {"CPU": 4.0, "memory": 10.0 * GIB, "object_store_memory": 4.0 * GIB}
GPUS = {"CPU": 16.0, "GPU": 2.0, "memory": 60.0 * GIB}


@pytest.mark.parametrize(
    ("demand", "node", "places"),
    [
        (Demand(), PLAIN, 4),
        (Demand(), HEAD, 0),
        (Demand(), {}, 0),
        (Demand(memory_bytes=3 * GIB), PLAIN, 3),
        (Demand(1.0), PLAIN, 0),
        (Demand(1.0), GPUS, 2),
        (Demand(0.5), GPUS, 4),
        (Demand(0.4), GPUS, 4),
        (Demand(1 / 3), GPUS, 6),
        (Demand(0.01), GPUS, 16),
        (Demand(0.5, 40 * GIB), GPUS, 1),
    ],
)
def test_places_of_a_node(demand: Demand, node: dict[str, float], places: int) -> None:
    assert demand.places(node) == places


@given(st.integers(1, 64), st.integers(1, 8), st.floats(0.01, 1.0), st.integers(1, 64))
def test_trials_never_reserve_more_than_a_node_has(cpus: int, gpus: int, share: float, gib: int) -> None:
    node = {"CPU": float(cpus), "GPU": float(gpus), "memory": 64.0 * GIB}
    demand = Demand(share, gib * GIB)
    places = demand.places(node)
    assert 0 <= places <= cpus
    assert places * gib <= 64
    assert places <= gpus * (1 / share + 1e-3)


def test_trials_take_a_gpu_where_there_is_one() -> None:
    assert choose_demand([HEAD, PLAIN], "auto") == Demand()
    assert choose_demand([HEAD, PLAIN, GPUS], "auto") == Demand(1.0)
    assert choose_demand([PLAIN, GPUS], "cpu") == Demand()
    assert choose_demand([PLAIN, GPUS], "auto", 0.25, 4 * GIB) == Demand(0.25, 4 * GIB)
    assert [Demand().device, Demand(0.5).device] == ["cpu", "cuda"]


@pytest.mark.parametrize(
    ("nodes", "device", "share", "memory", "message"),
    [
        ([HEAD, PLAIN], "cuda", None, 0, r"has 1 CPU, 1 GPU, got '0 CPU, 8.0 GiB; 4 CPU, 10.0 GiB'"),
        ([PLAIN], "auto", 0.5, 0, r"has 1 CPU, 0.5 GPU, got"),
        ([PLAIN], "cpu", None, 11 * GIB, r"has 1 CPU, 11.0 GiB of memory, got"),
        ([HEAD], "auto", None, 0, r"has 1 CPU, got"),
        ([], "auto", None, 0, r"got 'no node'"),
    ],
)
def test_what_no_node_can_hold_is_refused(nodes, device, share, memory, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError, match=message):
        choose_demand(nodes, device, share, memory)
