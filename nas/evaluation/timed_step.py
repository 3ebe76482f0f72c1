"""A step that is ready to be timed: a network, random images, and all that one step does."""

import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from nas.errors import invalid
from nas.evaluation.step_setup import StepSetup
from nas.evaluation.stopwatch import synchronize
from nas.models import build_model
from nas.spec import ArchSpec
from nas.training.loop import Trainer, autocast, compute_dtype
from nas.training.recipe import Recipe

_NUM_STEPS_BEFORE_CAPTURE = 3
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Network:
    """A network that can be timed, from a spec or from anywhere else.

    Attributes:
        label: What messages call it.
        build: Makes it for (num_classes, in_channels).
        image_size: Pixels a side in training, where the setup does not say.
        identity: Equal for networks that take equally long; None keeps its times out of caches.
    """

    label: str
    build: Callable[[int, int], nn.Module]
    image_size: int
    identity: str | None = None

    @classmethod
    def of(cls, network: "ArchSpec | Network") -> "Network":
        """Return the network that a spec describes; a `Network` as it is."""
        if isinstance(network, Network):
            return network
        label = network.name or network.arch_id
        return cls(label, partial(build_model, network), network.train_image_size, network.arch_id)


@dataclass(frozen=True, slots=True)
class StepFactory:
    """Makes the steps of any network alike; plain data but for the device.

    Attributes:
        setup: What a step is.
        num_classes: Classes of the data.
        in_channels: Channels of an image.
        recipe: Gives optimizer and label smoothing.
        device: Where to run.

    Raises:
        InvalidInputError: If the device cannot do such steps.
    """

    setup: StepSetup
    num_classes: int
    in_channels: int
    recipe: Recipe
    device: torch.device

    def __post_init__(self) -> None:
        if self.setup.mode == "cuda-graph" and self.device.type != "cuda":
            raise invalid("step mode", "eager or compile off CUDA", self.setup.mode, f"The device is {self.device}.")

    @property
    def dtype(self) -> torch.dtype:
        name = self.setup.dtype
        return compute_dtype(self.device) if name == "auto" else _DTYPES[name]

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.setup.memory_format == "channels_last" else torch.contiguous_format

    def image_size(self, network: Network) -> int:
        return self.setup.image_size or network.image_size

    def make(self, network: Network, batch_size: int) -> "TimedStep":
        """Build a network and its step, compiled or captured where the setup says so; that takes a first step."""
        trainer = Trainer(
            network.build(self.num_classes, self.in_channels),
            self.recipe,
            self.device,
            dtype=self.dtype,
            memory_format=self.memory_format,
        )
        trainer.model.train(self.setup.kind == "training")
        images, labels = self._batch(batch_size, self.image_size(network))
        step: Callable[[], object] = (
            partial(trainer.step, images, labels) if self.setup.kind == "training" else partial(_infer, trainer, images)
        )
        start = time.perf_counter()
        if self.setup.mode == "compile":
            trainer.forward = _compiled(trainer.model)
            step()
        elif self.setup.mode == "cuda-graph":
            step = _captured(step, trainer, self.device)
        synchronize(self.device)
        return TimedStep(step, 0.0 if self.setup.mode == "eager" else time.perf_counter() - start)

    def _batch(self, batch_size: int, image_size: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn((batch_size, self.in_channels, image_size, image_size), generator=generator)
        labels = torch.randint(self.num_classes, (batch_size,), generator=generator)
        return images.to(self.device).contiguous(memory_format=self.memory_format), labels.to(self.device)


@dataclass(frozen=True, slots=True)
class TimedStep:
    """Attributes:
    run: Does one step; a device may still be at work when it returns.
    compile_s: Seconds that compiling or capturing took, with the first step; 0 in eager mode.
    """

    run: Callable[[], object]
    compile_s: float


def _infer(trainer: Trainer, images: Tensor) -> Tensor:
    with torch.no_grad(), autocast(trainer.device, trainer.dtype):
        return trainer.forward(images)


def _compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Compile a network behind a function whose code is its own.

    Dynamo counts recompilations by code object. All networks of a class share one, and from the ninth on they would
    silently run in eager mode.
    """

    def forward(images: Tensor) -> Tensor:
        return model(images)  # type: ignore[no-any-return]

    code = forward.__code__.replace(co_name=f"forward_{id(model)}")
    own = types.FunctionType(code, forward.__globals__, closure=forward.__closure__)
    return torch.compile(own, dynamic=False)


def _captured(step: Callable[[], object], trainer: Trainer, device: torch.device) -> Callable[[], object]:
    """Capture a whole step in a CUDA graph, as torch's notes on CUDA graphs describe, and return its replay.

    Steps on a side stream come first, since allocations and choices of kernels must not be captured. Input, weights
    and learning rate are those of the capture.
    """
    for group in trainer.optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    with torch.cuda.device(device):
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_NUM_STEPS_BEFORE_CAPTURE):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
    # The step owns weights, images and labels: what is replayed must stay alive.
    return _Replay(graph, step)


@dataclass(frozen=True, slots=True)
class _Replay:
    graph: torch.cuda.CUDAGraph
    step: Callable[[], object]

    def __call__(self) -> None:
        self.graph.replay()
