"""The proxy: a candidate is built, counted, timed, trained briefly and validated."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nas.data import Dataset
from nas.evaluation.complexity import count_macs, count_params
from nas.evaluation.device import device_name
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job
from nas.evaluation.lease import Lease
from nas.evaluation.measurement import Measurement
from nas.evaluation.proxy_factory import PROXY_RECIPE
from nas.evaluation.rungs import RungWatch
from nas.evaluation.signals.scorer import Scorer
from nas.evaluation.step_times import StepTimes
from nas.evaluation.training import train_and_validate
from nas.models import build_model
from nas.spec import ArchSpec
from nas.training.checkpoint import EVERY_S, Checkpoint
from nas.training.loop import compute_dtype
from nas.training.recipe import Recipe
from nas.training.validation import Validation


class ProxyEvaluator:
    """Measures candidates on one data set and one device.

    Work on a device is done under its lease: other processes of the toolkit pause while steps are timed.

    Args:
        dataset: Moved to the device and held there.
        reference: The network that step time and parameters are relative to.
        device: Where training runs.
        lease: On that device.
        step_times: Says what a step takes.
        step_image_size: At which multiply-adds are counted; None means each network's own training size.
        recipe: Of proxy training.
        signals: Names of the training-free scores to record.
        checkpoints: Folder in which long trainings are kept on their way; None for nowhere.
        checkpoint_every_s: Seconds of training that an interruption may cost.
    """

    def __init__(
        self,
        dataset: Dataset,
        reference: ArchSpec,
        device: torch.device,
        *,
        lease: Lease,
        step_times: StepTimes,
        step_image_size: int | None = None,
        recipe: Recipe = PROXY_RECIPE,
        signals: Sequence[str] = (),
        checkpoints: Path | None = None,
        checkpoint_every_s: float = EVERY_S,
    ) -> None:
        self.dataset, self.device, self.recipe = dataset.to(device), device, recipe
        self.step_times = step_times
        self._lease, self._step_image_size = lease, step_image_size
        self._scorer = Scorer(self.dataset, signals) if signals else None
        self._checkpoints, self._checkpoint_every_s = checkpoints, checkpoint_every_s
        self._reference_params = count_params(self._build(reference))

    def __call__(self, job: Job) -> Measurement:
        """Measure one candidate.

        Raises:
            DivergedError: If its loss does not stay finite.
            torch.OutOfMemoryError: If it does not fit.
        """
        start, paused_s = time.perf_counter(), self._lease.paused_s
        with self._lease.shared():
            num_params, num_macs = self._count(job.spec)
            signals = self._score(job.spec)
        timed_from = time.perf_counter()
        step_time = self.step_times(job.spec)
        trained_from = time.perf_counter()
        known = Measurement(
            accuracy=math.nan,
            accuracy_stderr=math.nan,
            train_loss=math.nan,
            num_params=num_params,
            relative_params=num_params / self._reference_params,
            num_macs=num_macs,
            fidelity=str(job.fidelity),
            seed=job.seed,
            device=str(self.device),
            device_name=device_name(self.device),
            dtype=str(compute_dtype(self.device)).removeprefix("torch."),
            torch_version=torch.__version__,
            train_s=math.nan,
            timing_s=trained_from - timed_from - (step_time["lease_wait_s"] or 0.0),
            wall_s=math.nan,
            **step_time,
            **signals,
        )
        watch = RungWatch(
            job.stop_rule,
            known,
            self.dataset.val,
            between_batches=self._lease.yield_,
            paused_s=lambda: self._lease.paused_s,
        )
        checkpoint = self._checkpoint(job, watch)
        validation, train_loss = self.train(job.spec, job.fidelity, job.seed, checkpoint, watch)
        end, earlier_s = time.perf_counter(), 0.0 if checkpoint is None else checkpoint.earlier_s
        return replace(
            watch.result(validation, train_loss),
            train_s=end - trained_from + earlier_s,
            wall_s=end - start + earlier_s,
            paused_s=self._lease.paused_s - paused_s,
        )

    def _score(self, spec: ArchSpec) -> dict[str, Any]:
        """Return the fields of the training-free scores that were asked for, none in most searches."""
        if self._scorer is None:
            return {}
        start = time.perf_counter()
        scores = self._scorer(spec)
        return {f"signal_{name}": score for name, score in scores.items()} | {"signals_s": time.perf_counter() - start}

    def _count(self, spec: ArchSpec) -> tuple[int, int]:
        """Return parameters and multiply-adds."""
        model, size = self._build(spec), self._step_image_size or spec.train_image_size
        return count_params(model), count_macs(model, torch.zeros(1, self.dataset.in_channels, size, size))

    def _checkpoint(self, job: Job, watch: RungWatch) -> Checkpoint | None:
        """Return where a job's training is kept on its way, or None for nowhere."""
        if self._checkpoints is None:
            return None
        name = f"{job.spec.arch_id}-{job.fidelity}-{job.seed}"
        # All that a training's numbers depend on.
        what = [name, str(self.recipe), self.dataset.fingerprint, self.device.type, str(compute_dtype(self.device))]
        path = self._checkpoints / f"{name}.safetensors"
        checkpoint = Checkpoint(path, " ".join([*what, torch.__version__]), watch, every_s=self._checkpoint_every_s)
        if job.from_scratch:
            checkpoint.remove()
        return checkpoint

    def train(
        self,
        spec: ArchSpec,
        fidelity: Fidelity,
        seed: int,
        checkpoint: Checkpoint | None = None,
        watch: RungWatch | None = None,
    ) -> tuple[Validation | None, float]:
        """Train `spec` by the proxy's recipe and validate it; see `train_and_validate`."""
        return train_and_validate(
            spec,
            fidelity,
            seed,
            recipe=self.recipe,
            dataset=self.dataset,
            device=self.device,
            lease=self._lease,
            checkpoint=checkpoint,
            watch=watch,
        )

    def _build(self, spec: ArchSpec) -> torch.nn.Module:
        return build_model(spec, self.dataset.num_classes, self.dataset.in_channels)
