"""Data-parallel training: several processes, each with a part of every batch, that train as one process would.

All draw the same order and make the same whole batches, so that augmentation and the partners of MixUp and CutMix are
those of one process; then each computes its part. Gradients are added up in one message after the last part's backward
pass, BatchNorm's statistics are those of all parts, and dropout and stochastic depth draw for all images and keep their
own, so the processes' weights and random numbers stay the same, bit for bit. What this costs: batches are made as often
as there are processes, and gradients do not travel while others are still computed.
"""

import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torchvision.ops import StochasticDepth

from nas.training.batches import TrainingBatches
from nas.training.loop import Keeper, OnStep, Trainer, Training, run
from nas.training.recipe import Recipe
from nas.training.team import Team, check_same_step


@dataclass(slots=True)
class _Place:
    """Which images of a batch this process has: `start` to `end` of `total`."""

    start: int = 0
    end: int = 0
    total: int = 0


class ParallelTrainer(Trainer):
    """A `Trainer` whose `step` takes the whole batch in every process, and computes a part of it in each.

    `model` stays as it was built, so what copies, saves or validates it needs no other process. A twin that shares its
    weights and statistics is what is trained.

    Args:
        model: With the same weights in every process.
        recipe: See `Trainer`, like the rest.
        team: The processes.
        dtype: What convolutions compute in.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, team: Team, *, dtype: torch.dtype | None = None) -> None:
        super().__init__(model, recipe, team.device, dtype=dtype)
        self._team, self._place = team, _Place()
        self.forward = _twin(self.model, team, self._place)

    def _add_gradients(self, inputs: Tensor, targets: Tensor) -> Tensor:
        launch = self._team.launch
        num_parts = launch.num_parts(self.recipe.accumulate, len(inputs))
        losses = []
        for images, labels in zip(inputs.tensor_split(num_parts), targets.tensor_split(num_parts), strict=True):
            # Parts may differ by an image: each adds to loss and gradient as much as it has of the batch.
            start, end = (len(images) * rank // launch.size for rank in (launch.rank, launch.rank + 1))
            self._place.start, self._place.end, self._place.total = start, end, len(images)
            losses.append(self._backward(images[start:end], labels[start:end], share=(end - start) / len(inputs)))
        loss = torch.stack(losses).sum()
        self._team.add_all([*(p.grad for p in self.model.parameters() if p.grad is not None), loss])
        return loss


def run_together(
    team: Team | None, trainer: Trainer, batches: TrainingBatches, on_step: OnStep | None, keeper: Keeper
) -> None:
    """Train as `run` does, in every process of a team.

    Args:
        team: The processes; None for this one alone.
        trainer: Of this process, like the rest.
        batches: The same ones in every process.
        on_step: The leader's, which may end the training at the end of an epoch, and take its time there; None in the
            others, which wait for it.
        keeper: Every process goes on from what it kept; the leader's alone keeps more.
    """
    if team is None:
        run(trainer, batches, on_step, keeper=keeper)
        return

    def together(step: int, loss: Tensor) -> bool:
        ends = on_step is not None and bool(on_step(step, loss))
        return team.hear(ends) if batches.ends_epoch else False

    run(trainer, batches, together, keeper=_SharedKeeper(team, keeper))


class _SharedKeeper:
    """A `Keeper` that every process reads, and the leader alone writes."""

    def __init__(self, team: Team, keeper: Keeper) -> None:
        self._team, self._keeper = team, keeper

    def resume(self, training: Training) -> None:
        self._keeper.resume(training)
        check_same_step(self._team, training.batches.step)

    def after_step(self, training: Training) -> None:
        if self._team.leads:
            self._keeper.after_step(training)


def _twin(model: nn.Module, team: Team, place: _Place) -> nn.Module:
    """Return a copy that shares all parameters and buffers, with layers that know of the other processes."""
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    originals = dict(model.named_modules())
    for path, module in list(twin.named_modules()):
        parent, _, name = path.rpartition(".")
        if isinstance(module, nn.BatchNorm2d):
            twin.get_submodule(parent).add_module(name, _synchronised(module, team))
        elif isinstance(module, nn.Dropout | StochasticDepth):
            twin.get_submodule(parent).add_module(name, _Dropped(originals[path], place))
    return twin.train()


def _synchronised(norm: nn.BatchNorm2d, team: Team) -> nn.Module:
    """Return a BatchNorm over the images of all processes, with the parameters and statistics of `norm`."""
    if team.device.type != "cpu":
        return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(norm))  # type: ignore[no-untyped-call]
    return _CPUSyncBatchNorm(norm, team)


class _CPUSyncBatchNorm(nn.Module):
    """PyTorch's SyncBatchNorm is for accelerators; this one is plain, and keeps more for the backward pass."""

    def __init__(self, norm: nn.BatchNorm2d, team: Team) -> None:
        super().__init__()
        self.norm, self._team = norm, team

    def forward(self, images: Tensor) -> Tensor:
        norm = self.norm
        if not norm.training:
            return cast(Tensor, norm(images))
        values = images.float()
        variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
        # In double precision the difference of two squares loses nothing.
        variance, mean = variance.double(), mean.double()
        moments = torch.stack([mean, variance + mean.square(), torch.ones_like(mean)])
        mean, square, count = cast(Tensor, _Sum.apply(moments * (values.numel() // values.shape[1]), self._team))
        mean = mean / count
        variance = square / count - mean.square()
        self._follow(mean, variance * count / (count - 1))
        scale = norm.weight * (variance + norm.eps).rsqrt()
        shift = norm.bias - mean * scale
        normed = torch.addcmul(shift.float().view(-1, 1, 1), values, scale.float().view(-1, 1, 1))
        return normed.to(images.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Bring the running statistics closer to those of a batch."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        norm.running_mean.lerp_(mean.float(), norm.momentum)
        norm.running_var.lerp_(variance.float(), norm.momentum)
        norm.num_batches_tracked.add_(1)


class _Sum(torch.autograd.Function):
    """The sum over all processes; the loss is a sum over them as well, so its gradient is one too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, team: Team) -> Tensor:
        ctx.team = team
        total = values.contiguous().clone()
        team.add(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.contiguous().clone()
        ctx.team.add(total)
        return total, None


class _Dropped(nn.Module):
    """Dropout or stochastic depth that draws for all images, as one process does, and keeps what this one needs."""

    def __init__(self, original: nn.Module, place: _Place) -> None:
        super().__init__()
        self._original = (original,)  # In a tuple it is no child of this one: its strength is read, which may change.
        self._place = place

    def forward(self, images: Tensor) -> Tensor:
        (original,), place = self._original, self._place
        kept = 1 - cast(float, original.p)
        if not original.training or kept == 1:
            return images
        of_an_image = images.shape[1:] if isinstance(original, nn.Dropout) else (1,) * (images.ndim - 1)
        noise = torch.empty(place.total, *of_an_image, dtype=images.dtype, device=images.device).bernoulli_(kept)
        if kept > 0:
            noise.div_(kept)
        return images * noise[place.start : place.end]
