"""Settings of `nas.search`."""

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from nas.config.checks import check_seconds, check_seed, check_val_images, parse_bytes
from nas.errors import did_you_mean, invalid
from nas.evaluation.step_setup import StepSetup
from nas.optimization.storage.address import redacted

_OF_THE_CALL = frozenset({"out", "resume", "status", "json", "config"})
"""Settings that are no part of what is searched: they are not kept in a run's manifest."""

_OF_THE_MACHINE = (
    *("workers", "worker_memory", "trial_timeout", "grace", "device", "timing_device"),
    *("storage", "study", "storage_timeout", "out", "json", "config"),
)
"""Settings that a driver does not take over from the study that it joins."""

DEFAULT_FIDELITY = "5000x2"
"""Ranks the tiny space on the default task well above its noise: results/fashion_hard/README.md."""


@dataclass(frozen=True)
class SearchSettings:
    """Search for networks that are accurate, small and fast to train, on your images and your device.

    Candidates of a search space are trained briefly, timed and counted. At the end you have a Pareto front of measured
    candidates and a family of networks, S, M and L, in a folder below results/. The same command with --resume goes on
    after a Ctrl-C or a crash.

    Examples:
        python -m nas.search --budget 200
        python -m nas.search --data path/to/images --device cuda:0
        python -m nas.search --status results/20260131-120000-efficientnet_v2_tiny-fashion-hard
        python -m nas.search --resume results/20260131-120000-efficientnet_v2_tiny-fashion-hard
    """

    budget: int = 200
    """Number of candidates to evaluate. Candidates equal to an earlier one are free."""
    space: str = "efficientnet_v2_tiny"
    """Search space: efficientnet_v2_tiny (for 28 to 64 pixels), efficientnet_v2 (the paper's), or your own as
    package.module:attribute."""
    data: str = "fashion-hard"
    """Data set: fashion-hard (embedded), fashion-mnist, cifar10, cifar100, or a path: a folder of one folder per class
    (also with train/ and val/), or a Hugging Face image parquet folder."""
    objective: Annotated[str, tyro.conf.arg(metavar="{pareto,reward}")] = "pareto"
    """pareto: accuracy, step time and parameters at once. reward: accuracy * S^-0.07 * P^-0.05, as in the paper."""
    sampler: Annotated[str, tyro.conf.arg(metavar="{tpe,random,nsga2,gp,aging}")] = "tpe"
    """How candidates are proposed; random is the paper's, aging is regularised evolution."""
    fidelity: str = DEFAULT_FIDELITY
    """Training of each candidate: IMAGESxEPOCHS, or IMAGESxEPOCHS@SIZE to train at another image size."""
    workers: int | None = None
    """Worker processes; 0 evaluates in this process. By default one per accelerator, or per CPU core."""
    worker_memory: str | None = None
    """Most memory that a worker may hold, such as 4GiB: a candidate that asks for more fails. By default no limit."""
    trial_timeout: float | None = None
    """Seconds after which a candidate's worker is taken to hang; it is then tried once more. By default 20 times the
    median of those that ended, at least ten minutes."""
    grace: float = 30.0
    """Seconds that running candidates have after SIGTERM or SIGUSR1; those that take longer are queued again."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0."""
    timing_device: str | None = None
    """A device to time training steps on, such as cuda:1; by default the one that trains. With device auto, no worker
    trains on it."""
    seed: int = 0
    """Seed of proposals, splits and training."""
    val_images: int | None = None
    """Images held out to measure accuracy. By default a split of their own, else a third of the training images, at
    most 6,000."""
    warm_start: bool = True
    """Evaluate the space's reference networks first."""
    step_batch_size: int | None = None
    """Images in a timed step: those of the training that the network is for. By default the proxy's, 64."""
    step_image_size: int | None = None
    """Pixels a side in a timed step; by default each network's own training size."""
    step_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What convolutions of a timed step compute in; auto as in training."""
    step_memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    """Of images and weights in a timed step."""
    step_mode: Literal["eager", "compile", "cuda-graph"] = "eager"
    """A timed step is run as it is, compiled (torch.compile), or captured in a CUDA graph."""
    target_device: Path | None = None
    """File of nas.profile: step times are predicted for that device instead of measured on this one."""
    max_step_time: float | None = None
    """Limit on a training step, times the reference network's. Candidates that are expected to take longer, going by
    those that were measured, are not evaluated; by default all are."""
    storage: str | None = None
    """Address of a storage that several drivers share, each on a machine of its own: postgresql://..., mysql+pymysql://,
    journal:///FILE in a shared folder, grpc://HOST:PORT. Or set NAS_STORAGE. By default the run's folder."""
    study: str | None = None
    """Name of the study in the storage: a new one, or one to join, whose settings then hold unless given. By default
    the name of the run's folder."""
    storage_timeout: float = 300.0
    """Seconds to wait for a storage that is out of reach before the search ends."""
    driver_timeout: float = 60.0
    """Seconds without a sign of life after which the other drivers take a driver for gone and go on with its trials."""
    out: Path | None = None
    """Folder of the run, new or empty. By default results/ and a name from time, space and data."""
    resume: Path | None = None
    """Folder of a run to go on with, up to the budget; other settings are those of the run unless given."""
    status: Path | None = None
    """Folder of a run: only print where its search stands, while it goes on or afterwards."""
    json: bool = False
    """Print results as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no data could make right."""
        if self.budget < 1:
            raise invalid("budget", "at least 1", self.budget, "Say how many candidates to evaluate.")
        if self.workers is not None and not 0 <= self.workers <= 1024:
            raise invalid("workers", "from 0 to 1024", self.workers, "Leave it out for the default.")
        self._check_limits()
        check_seed(self.seed)
        check_val_images(self.val_images)
        if self.max_step_time is not None and not 0 < self.max_step_time < math.inf:
            raise invalid("max_step_time", "above 0 and finite", self.max_step_time, "Leave it out for no limit.")
        self._check_sharing()
        self.step_setup()
        if self.target_device is not None and self.step_words():
            todo = "A device's file says what its steps are: leave out the one or the other."
            raise invalid("target_device and step settings", "given one at a time", self.step_words(), todo)
        folders = {name: getattr(self, name) for name in ("out", "resume", "status")}
        given = [name for name, folder in folders.items() if folder is not None]
        if len(given) > 1:
            todo = "--out is for a new run, --resume to go on with one, --status to look at one."
            raise invalid(" and ".join(given), "given one at a time", str(folders[given[0]]), todo)

    def _check_sharing(self) -> None:
        if self.study is not None and self.storage is None:
            raise invalid("study", "left out without a storage", self.study, "Give --storage, or set NAS_STORAGE.")
        if self.study is not None and not (self.study.strip() and self.study.isprintable() and len(self.study) <= 200):
            raise invalid("study", "a printable name of 1 to 200 characters", self.study, "Choose another.")
        for name in ("storage_timeout", "driver_timeout"):
            seconds = getattr(self, name)
            if not 1 <= seconds < math.inf:
                raise invalid(name, "at least 1 and finite", seconds, "Leave it out for the default.")

    def joining(self, study: "SearchSettings") -> "SearchSettings":
        """Return the settings of a study that is joined, with those of this machine."""
        own = {name: getattr(self, name) for name in _OF_THE_MACHINE}
        return replace(study, **own)

    def _check_limits(self) -> None:
        check_seconds("grace", self.grace)
        if self.trial_timeout is not None:
            check_seconds("trial_timeout", self.trial_timeout)
        if self.worker_memory_bytes is not None and sys.platform != "linux":
            raise invalid("worker_memory", "left out on this system", self.worker_memory, "Only Linux can limit it.")
        limits = {"trial_timeout": self.trial_timeout, "worker_memory": self.worker_memory}
        for name, limit in limits.items():
            if limit is not None and self.workers == 0:
                raise invalid(name, "given with workers", f"{limit} and workers 0", "Only their processes have it.")

    @property
    def worker_memory_bytes(self) -> int | None:
        return None if self.worker_memory is None else parse_bytes("worker_memory", self.worker_memory)

    def step_setup(self) -> StepSetup:
        """Return what a timed step is; raise InvalidInputError if there is no such step."""
        return StepSetup(**self._step())

    def step_words(self) -> str:
        """Return the settings of a timed step that are not the default ones, for a manifest; "" if there are none."""
        default = StepSetup()
        return ", ".join(f"{name} {value}" for name, value in self._step().items() if value != getattr(default, name))

    def _step(self) -> dict[str, Any]:
        given = {"dtype": self.step_dtype, "memory_format": self.step_memory_format, "mode": self.step_mode}
        sizes = {"batch_size": self.step_batch_size, "image_size": self.step_image_size}
        return given | {name: size for name, size in sizes.items() if size is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types for the manifest, without those that are no part of the search."""
        plain = {key: value for key, value in asdict(self).items() if key not in _OF_THE_CALL}
        plain["storage"] = None if self.storage is None else redacted(self.storage)
        return {**plain, "target_device": None if self.target_device is None else str(self.target_device)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SearchSettings":
        """Read what `to_dict` wrote; raise InvalidInputError for unknown keys."""
        known = {f.name for f in fields(cls)} - _OF_THE_CALL
        for key in plain:
            if key not in known:
                raise invalid("settings in the manifest", "those of a search", key, did_you_mean(key, known))
        target = plain.get("target_device")
        return cls(**{**plain, "target_device": None if target is None else Path(target)})
