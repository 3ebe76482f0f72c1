"""`Team`: the processes of one training, and what they tell each other."""

import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from nas.errors import PeerLostError, invalid
from nas.training.launch import Launch

PATIENCE = datetime.timedelta(days=7)
"""How long the others wait for what one does alone, such as validation; the end of a process is noticed before."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _together(method: "Callable[Concatenate[Team, _P], _R]") -> "Callable[Concatenate[Team, _P], _R]":
    """Have a method say so where another process has gone."""

    @wraps(method)
    def wrapped(self: "Team", /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(self, *args, **kwargs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # gloo's errors have no class of their own
            reason = str(error).partition(". ")[0]
            message = f"Another process of this training has ended, or cannot be reached: {reason}."
            raise PeerLostError(message) from error

    return wrapped


class Team:
    """Processes that train one network together. All of them call each method, in the same order.

    Args:
        launch: Says which one this is.
        device: Of this process.
        patient: The group over which they wait for each other.
    """

    def __init__(self, launch: Launch, device: torch.device, patient: dist.ProcessGroup) -> None:
        self.launch, self.device, self._patient = launch, device, patient

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes, prints and validates."""
        return self.launch.leads

    @_together
    def add(self, tensor: Tensor) -> None:
        """Replace a contiguous tensor by the sum over all processes, the same bits in each."""
        dist.all_reduce(tensor)

    def add_all(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over all processes, in one message."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self.add(flat)
        for tensor, total in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view(tensor.shape))

    @_together
    def hear(self, said: _R) -> _R:
        """Return what the leader says, after waiting for it as long as it takes; what others say is not heard."""
        content: list[Any] = [said]
        dist.broadcast_object_list(content, src=0, group=self._patient)
        return content[0]  # type: ignore[no-any-return]


@contextmanager
def joined(launch: Launch, device: torch.device, timeout: datetime.timedelta | None = None) -> Iterator[Team | None]:
    """Join the other processes; gives None where there are none.

    Args:
        launch: Which one this is; torchrun's variables in the environment say how to reach the others.
        device: Of this process. Accelerators talk by their own library (NCCL), processors by gloo.
        timeout: For one message of training, after which a process gives up; None for the library's default.
    """
    if launch.size == 1:
        yield None
        return
    backend = dist.get_default_backend_for_device(device)
    dist.init_process_group(backend, timeout=timeout)
    patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    assert isinstance(patient, dist.ProcessGroup), "of all processes, so of this one"
    team = Team(launch, device, patient)
    yield team
    # All leave at once. After an error nothing is said any more: the others may be anywhere.
    team.hear(None)
    dist.destroy_process_group()


def check_same_step(team: Team, step: int) -> None:
    """Raise InvalidInputError unless a training that goes on does so at the leader's step."""
    leading = team.hear(step)
    if step != leading:
        rule = f"a folder that every process reads alike (the first one is at step {leading})"
        raise invalid("resume", rule, step, "Use a file system that all machines share.")
