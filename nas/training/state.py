"""`TrainingState`: a training after some step, as tensors and plain values; never a pickle.

What goes on from it does what an uninterrupted training would have done: bit for bit on a CPU with one thread, and
elsewhere as far as the device repeats itself.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nas.errors import invalid
from nas.files import replace_file
from nas.training.loop import Training

FORMAT = "nas.training/1"


@dataclass(frozen=True)
class TrainingState:
    """Attributes:
    step: How many steps have been done.
    tensors: On the CPU: the network ("model."), the optimizer ("optimizer.", by number of the parameter), the average
        of the weights if there is one ("ema."), losses, the order of the epoch under way, and random number generators
        ("random.").
    scaler: Of mixed precision: loss scale and the like; empty where there is none.
    notes: What others want to find again, as plain JSON types.
    """

    step: int
    tensors: Mapping[str, Tensor]
    scaler: Mapping[str, Any]
    notes: Mapping[str, Any]

    @classmethod
    def of(cls, training: Training, notes: Mapping[str, Any]) -> "TrainingState":
        """Return the state of a training that has done a step; waits for the device."""
        trainer, batches = training.trainer, training.batches
        tensors = {f"model.{name}": tensor for name, tensor in trainer.model.state_dict().items()}
        for number, kept in trainer.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in kept.items() if value is not None}
        if trainer.average is not None:
            tensors |= {f"ema.{name}": tensor for name, tensor in trainer.average.state_dict().items()}
        tensors |= {"losses": torch.stack(training.losses), "order": batches.order}
        tensors |= {"random.batches": batches.generator.get_state(), "random.cpu": torch.get_rng_state()}
        if trainer.device.type != "cpu":
            tensors["random.device"] = _generator(trainer.device).get_state()
        on_cpu = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        return cls(batches.step, on_cpu, trainer.scaler.state_dict(), notes)

    def apply(self, training: Training) -> None:
        """Bring a training of the same network, recipe and data, which has not begun, to this state."""
        trainer, batches = training.trainer, training.batches
        trainer.model.load_state_dict(self._below("model."))
        self._apply_to_optimizer(trainer.optimizer)
        if trainer.average is not None:
            trainer.average.load_state_dict(self._below("ema."))
        trainer.scaler.load_state_dict(dict(self.scaler))
        training.losses[:] = self.tensors["losses"].to(trainer.device).unbind()
        batches.step, batches.order = self.step, self.tensors["order"].to(trainer.device)
        batches.generator.set_state(self.tensors["random.batches"])
        torch.set_rng_state(self.tensors["random.cpu"])
        if trainer.device.type != "cpu":
            _generator(trainer.device).set_state(self.tensors["random.device"])

    def _apply_to_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in self._below("optimizer.").items():
            number, _, name = key.partition(".")
            parameter = parameters[int(number)]
            if value.shape == parameter.shape:
                # In the parameter's memory format: fused optimizers walk through both side by side.
                value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            state.setdefault(int(number), {})[name] = value.detach()
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

    def _below(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}

    def save(self, path: Path, what: str) -> None:
        """Write it as safetensors, in one step.

        Args:
            path: Of the file; its folder is there.
            what: Says what is trained and how, to be found again.
        """
        plain = {"step": self.step, "scaler": dict(self.scaler), "notes": dict(self.notes)}
        metadata = {"format": FORMAT, "what": what, "plain": json.dumps(plain)}
        check = _checksum(self.tensors, metadata)
        replace_file(path, save(dict(self.tensors), {**metadata, "check": check}))

    @classmethod
    def load(cls, path: Path, what: str) -> "TrainingState":
        """Read what `save` wrote.

        Raises:
            InvalidInputError: If the file is damaged, or of something else than `what`.
            OSError: If it cannot be read.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        except SafetensorError as error:
            raise invalid("checkpoint", "a whole safetensors file", str(path), f"{error}.") from error
        check = metadata.pop("check", "")
        if check != _checksum(tensors, metadata):
            raise invalid("checkpoint", "whole", str(path), "Its content is not what was written.")
        if (metadata["format"], metadata["what"]) != (FORMAT, what):
            raise invalid("checkpoint", f"of {what}", metadata["what"], "It is of another training.")
        plain = json.loads(metadata["plain"])
        return cls(plain["step"], tensors, plain["scaler"], plain["notes"])


def _generator(device: torch.device) -> torch.Generator:
    """Return the generator that stochastic depth and dropout draw from on an accelerator."""
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    generator: torch.Generator = torch.get_device_module(device).default_generators[device.index or 0]
    return generator


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    check = zlib.crc32(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        content = tensors[name].reshape(-1).view(torch.uint8).numpy().data
        check = zlib.crc32(content, zlib.crc32(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode(), check))
    return f"{check:08x}"
