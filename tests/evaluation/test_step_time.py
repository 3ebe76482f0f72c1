"""Nothing here asserts how long anything takes: machines that run tests have other things to do."""

import logging
import math
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from torch import nn

from nas import InvalidInputError
from nas.evaluation.memory import peak_memory_bytes, peak_memory_in_child
from nas.evaluation.step_setup import StepSetup
from nas.evaluation.step_time import StepTime, StepTimer
from nas.evaluation.stopwatch import make_stopwatch
from nas.evaluation.timed_step import Network, StepFactory
from nas.evaluation.timing_cache import TimingCache
from nas.evaluation.timing_statistics import Effort
from nas.models import build_model
from nas.training.recipe import Recipe
from tests.stripes import SIZE, space

REFERENCE = space.reference
LARGE = space.decode({**space.references["small"], "s1_num_layers": 2, "s2_out_channels": 8})
SETUP = StepSetup(batch_size=16)
BRIEF = Effort(min_blocks=2, max_blocks=3)


def make_timer(device, setup=SETUP, reference=REFERENCE, effort=BRIEF, **options):
    known = {"num_classes": 3, "in_channels": 1, "recipe": Recipe(), "device": device, "effort": effort}
    return StepTimer(reference, setup, **(known | options))


class Hungry(nn.Module):
    """Asks for more memory than there is above a batch size."""

    def __init__(self, num_classes, in_channels, limit=0):
        super().__init__()
        self.limit = limit
        self.dense = nn.Linear(in_channels, num_classes)

    def forward(self, images):
        if len(images) > self.limit:
            torch.empty(2**50, dtype=torch.uint8, device=images.device)
        return self.dense(images.mean((2, 3)))


def hungry(limit):
    return Network(f"hungry above {limit}", partial(Hungry, limit=limit), SIZE, identity=f"hungry{limit}")


def check(found, setup=SETUP):
    assert 0 < found.step_time_low_s <= found.step_time_s <= found.step_time_high_s < math.inf
    low, high = found.relative_step_time_low, found.relative_step_time_high
    assert 0 < low <= found.relative_step_time <= high < math.inf
    assert 0 <= found.step_time_spread_s < math.inf
    assert 0 <= found.relative_step_time_spread < math.inf
    assert found.step_time_per_image_s == found.step_time_s / found.step_batch_size
    assert found.peak_memory_bytes is None or found.peak_memory_bytes >= 0
    assert (found.compile_s > 0) == (setup.mode != "eager")
    assert found.exclusive
    assert found.lease_wait_s >= 0


def test_networks_are_timed_against_the_reference(device):
    timer = make_timer(device, effort=Effort(max_blocks=12))
    for spec in (LARGE, REFERENCE):
        found = timer.measure(spec)
        check(found)
        assert (found.step_batch_size, found.step_batch_reduced, found.step_image_size) == (16, False, SIZE)
        half_width = (found.relative_step_time_high - found.relative_step_time_low) / 2
        assert found.timing_target_met == (half_width <= 0.03 * found.relative_step_time)
        assert found.num_timing_blocks == 12 or (found.timing_target_met and found.num_timing_blocks >= 5)
    assert 1 / 3 < found.relative_step_time < 3  # The reference against itself.


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "inference", "batch_size": 1},
        {"memory_format": "contiguous", "image_size": 24},
        {"dtype": "bfloat16"},
        {"dtype": "float32"},
        pytest.param({"mode": "compile"}, marks=pytest.mark.slow),
        pytest.param({"mode": "compile", "kind": "inference"}, marks=pytest.mark.slow),
    ],
)
def test_every_setup_is_timed_as_it_says(device, changes):
    setup = replace(SETUP, **changes)
    timer = make_timer(device, setup)
    found = timer.measure(LARGE)
    check(found, setup)
    assert found.step_batch_size == setup.batch_size
    assert found.step_image_size == (setup.image_size or SIZE)
    if setup.dtype != "auto":
        assert timer.dtype == setup.dtype


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["training", "inference"])
def test_a_step_is_captured_in_a_cuda_graph(kind):
    setup = replace(SETUP, mode="cuda-graph", kind=kind)
    timer = make_timer(torch.device("cuda:0"), setup)
    for spec in (LARGE, REFERENCE):
        check(timer.measure(spec), setup)


def test_cuda_graphs_are_refused_elsewhere():
    with pytest.raises(InvalidInputError, match="`step mode` must be eager or compile off CUDA, got 'cuda-graph'"):
        make_timer(torch.device("cpu"), replace(SETUP, mode="cuda-graph"))


class Seen(nn.Module):
    """Tells what a network is asked to compute."""

    def __init__(self, num_classes, in_channels, seen):
        super().__init__()
        self.conv, self.seen = nn.Conv2d(in_channels, num_classes, 3), seen

    def forward(self, images):
        out = self.conv(images)
        channels_last = images.is_contiguous(memory_format=torch.channels_last)
        self.seen.append((tuple(images.shape), out.dtype, channels_last, self.training, torch.is_grad_enabled()))
        return out.mean((2, 3))


def test_the_network_sees_what_the_setup_says(device):
    seen = []
    network = Network("seen", partial(Seen, seen=seen), 20)
    setup = StepSetup(batch_size=6, dtype="bfloat16", memory_format="channels_last")
    step = StepFactory(setup, 3, 2, Recipe(), device).make(network, 6)
    step.run()
    assert seen.pop() == ((6, 2, 20, 20), torch.bfloat16, True, True, True)
    setup = StepSetup(batch_size=6, image_size=24, dtype="float32", memory_format="contiguous", kind="inference")
    step = StepFactory(setup, 3, 2, Recipe(), device).make(network, 5)
    step.run()
    assert seen.pop() == ((5, 2, 24, 24), torch.float32, False, False, False)


def test_a_step_of_training_changes_the_weights_and_leaves_no_gradient(device):
    made = []

    def build(num_classes, in_channels):
        made.append(build_model(REFERENCE, num_classes, in_channels))
        return made[-1]

    step = StepFactory(SETUP, 3, 1, Recipe(), device).make(Network("kept", build, SIZE), 16)
    before = [p.detach().clone() for p in made[0].parameters()]
    step.run()
    assert not all(torch.equal(a, b) for a, b in zip(before, made[0].parameters(), strict=True))
    assert all(p.grad is None for p in made[0].parameters())


@pytest.mark.slow
def test_the_ninth_compiled_network_is_still_compiled():
    """Torch compiles eight networks of one class and then silently none."""
    setup = replace(SETUP, mode="compile", kind="inference")
    steps = StepFactory(setup, 3, 1, Recipe(), torch.device("cpu"))
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    for seed in range(10):
        steps.make(Network.of(space.decode(space.sample(seed))), 4).run()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 10


def test_a_batch_that_does_not_fit_is_halved_and_said_so(device, caplog):
    timer = make_timer(device)
    with caplog.at_level(logging.WARNING):
        found = timer.measure(hungry(5))
    check(found)
    assert (found.step_batch_size, found.step_batch_reduced) == (4, True)
    assert "hungry above 5 does not fit on" in caplog.text
    assert "at batch size 8: timed at 4" in caplog.text
    assert timer.measure(LARGE).step_batch_size == 16


@pytest.mark.parametrize(("kind", "floor"), [("training", 2), ("inference", 1)])
def test_what_fits_at_no_batch_size_fails_at_the_smallest(device, kind, floor, caplog):
    timer = make_timer(device, StepSetup(batch_size=5, kind=kind))
    assert timer.measure(hungry(floor)).step_batch_size == floor
    with pytest.raises(RuntimeError, match="memory"):
        timer.measure(hungry(floor - 1))


def test_other_errors_are_not_taken_for_a_lack_of_memory(device):
    def build(num_classes, in_channels):
        return nn.Linear(1, 1)  # Images are no such input.

    with pytest.raises(RuntimeError):
        make_timer(device).measure(Network("wrong", build, SIZE + 1))


def test_the_lease_is_held_around_the_timed_blocks_alone(device):
    events = []

    @contextmanager
    def lease():
        events.append("taken")
        yield False
        events.append("given back")

    def build(num_classes, in_channels):
        events.append("built")
        return build_model(LARGE, num_classes, in_channels)

    timer = make_timer(device, exclusive=lease)
    assert not timer.measure(Network("watched", build, SIZE)).exclusive
    assert events == ["built", "taken", "given back"]


def test_times_are_kept_and_found_under_the_same_conditions_alone(device, tmp_path):
    path = tmp_path / "timings.jsonl"
    timer = make_timer(device, cache=TimingCache(path))
    assert timer.find(LARGE) is None
    found = timer.measure(LARGE)
    assert timer.find(LARGE) == found
    assert timer.find(replace(LARGE, name="another name")) == found
    assert make_timer(device, cache=TimingCache(path)).find(LARGE) == found
    assert timer.find(REFERENCE) is None
    assert timer.find(replace(LARGE, train_image_size=SIZE + 8)) is None
    others = [
        {"setup": replace(SETUP, batch_size=8)},
        {"setup": replace(SETUP, image_size=SIZE + 1)},
        {"setup": replace(SETUP, dtype="float16" if device.type == "cpu" else "float32")},
        {"setup": replace(SETUP, memory_format="contiguous")},
        {"setup": replace(SETUP, mode="compile")},
        {"setup": replace(SETUP, kind="inference")},
        {"reference": LARGE},
        {"reference": replace(REFERENCE, train_image_size=SIZE + 8)},
        {"recipe": Recipe(optimizer="sgd")},
        {"recipe": Recipe(accumulate=2)},
        {"recipe": Recipe(ema_decay=0.9)},
        {"recipe": Recipe(clip_grad_norm=1.0)},
        {"num_classes": 4},
        {"in_channels": 2},
    ]
    for changes in others:
        assert make_timer(device, cache=TimingCache(path), **changes).find(LARGE) is None, changes
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert timer.find(LARGE) is None
    finally:
        torch.set_num_threads(threads)


def test_a_network_without_identity_is_not_kept(device, tmp_path):
    timer = make_timer(device, cache=TimingCache(tmp_path / "timings.jsonl"))
    network = replace(Network.of(LARGE), identity=None)
    timer.measure(network)
    assert timer.find(network) is None
    assert not (tmp_path / "timings.jsonl").exists()


def test_a_time_kept_by_another_version_is_not_used(device, tmp_path):
    cache = TimingCache(tmp_path / "timings.jsonl")
    timer = make_timer(device, cache=cache)
    found = timer.measure(LARGE)
    assert StepTime.from_dict(found.to_dict()) == found
    for line in cache.path.read_text().splitlines():
        assert '"network"' in line
    from nas.evaluation.timing_key import timing_key

    key = timing_key(timer._steps, Network.of(LARGE), timer.reference)
    cache.put(key, {**found.to_dict(), "step_time_ms": 1.0})
    assert timer.find(LARGE) is None
    with pytest.raises(InvalidInputError, match="`step time` must be one of this version"):
        StepTime.from_dict({"step_time_s": 1.0})


def test_timing_leaves_other_networks_alone(device):
    """The network that is searched is never the one that is timed, even where both come from one spec."""
    model = build_model(REFERENCE, 3, 1).to(device)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    make_timer(device).measure(REFERENCE)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_seconds_are_those_of_the_device():
    """Launches alone take as long for small products as for large ones."""
    seconds = make_stopwatch(torch.device("cuda:0"))

    def products(size):
        matrix = torch.ones(size, size, device="cuda:0")
        for _ in range(20):
            matrix @ matrix

    products(64)
    assert 0 < 5 * seconds(partial(products, 64)) < seconds(partial(products, 4096))


def test_peak_memory_sees_what_was_held_for_a_moment(device):
    size = 64 * 2**20

    def hold():
        torch.ones(size, dtype=torch.uint8, device=device)

    peak = peak_memory_bytes(hold, device)
    if peak is None:
        pytest.skip("this system does not tell")
    assert 0.9 * size < peak < 3 * size
    assert peak_memory_bytes(lambda: None, device) < 0.5 * size


def _make_holding(size, device):
    return partial(_hold, size, device)


def _hold(size, device):
    torch.ones(size, dtype=torch.uint8, device=device)


def test_peak_memory_of_a_process_of_its_own(device):
    size = 64 * 2**20
    peak = peak_memory_in_child(partial(_make_holding, size, device), device)
    if peak is None:
        pytest.skip("this system does not tell")
    assert 0.9 * size < peak < 2 * size


def test_a_process_that_is_ended_had_no_memory():
    import os

    with pytest.raises(MemoryError):
        peak_memory_in_child(partial(partial, os._exit, 9), torch.device("cpu"))


def test_every_time_ends_in_its_unit():
    names = [field.name for field in fields(StepTime)]
    assert all(name.endswith("_s") for name in names if "time" in name and not name.startswith("relative_"))
