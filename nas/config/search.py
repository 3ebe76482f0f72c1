"""Settings of `nas.search`."""

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from nas.config.checks import check_kept, check_seconds, check_seed, check_val_images, parse_bytes
from nas.config.places import check_cluster, parse_devices
from nas.errors import did_you_mean, invalid
from nas.evaluation.measurement import SIGNAL_NAMES
from nas.evaluation.step_setup import StepSetup
from nas.optimization.prefilter import PrefilterRule
from nas.optimization.storage.address import redacted

_PATHS = ("table", "target_device")
"""Settings of a manifest that are paths."""

_OF_TRAINING = (
    *("data", "fidelity", "device", "timing_device", "val_images", "target_device", "max_step_time"),
    *(
        "signals",
        "devices",
        "cluster",
        "step_batch_size",
        "step_image_size",
        "step_dtype",
        "step_memory_format",
        "step_mode",
    ),
)
"""Settings that a search in a table has no use for."""

_OF_THE_CALL = frozenset({"out", "resume", "status", "replay", "json", "config"})
"""Settings that are no part of what is searched: they are not kept in a run's manifest."""

_OF_THE_MACHINE = (
    *("workers", "worker_memory", "trial_timeout", "grace"),
    *("device", "devices", "cluster", "gpus_per_trial", "memory_per_trial", "timing_device"),
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
        python -m nas.search --space nas_bench_macro --table nas_bench_macro.csv --objective accuracy-macs
        python -m nas.search --status results/20260131-120000-efficientnet_v2_tiny-fashion-hard
        python -m nas.search --resume results/20260131-120000-efficientnet_v2_tiny-fashion-hard
        python -m nas.search --replay results/20260131-120000-efficientnet_v2_tiny-fashion-hard
    """

    budget: int = 200
    """Number of candidates to evaluate. Candidates equal to an earlier one are free."""
    space: str = "efficientnet_v2_tiny"
    """Search space: efficientnet_v2_tiny (for 28 to 64 pixels), efficientnet_v2 (the paper's), nas_bench_macro, or your
    own as package.module:attribute."""
    data: str = "fashion-hard"
    """Data set: fashion-hard (embedded), fashion-mnist, cifar10, cifar100, or a path: a folder of one folder per class
    (also with train/ and val/), or a Hugging Face image parquet folder. crop:PATH: cropped, not resized. blur:PATH:
    blurred and sharp crops of any photographs."""
    table: Path | None = None
    """CSV file of networks that were measured before, for a space such as nas_bench_macro: candidates are looked up in
    it and nothing is trained or timed."""
    objective: Annotated[str, tyro.conf.arg(metavar="{pareto,reward,accuracy-macs}")] = "pareto"
    """pareto: accuracy, step time and parameters at once. reward: accuracy * S^-0.07 * P^-0.05, as in the paper.
    accuracy-macs: accuracy and multiply-adds at once."""
    sampler: Annotated[str, tyro.conf.arg(metavar="{predictor,tpe,random,nsga2,gp,aging}")] = "predictor"
    """How candidates are proposed: predictor by what it learns, random as in the paper, aging by evolution."""
    fidelity: str = DEFAULT_FIDELITY
    """Training of each candidate: IMAGESxEPOCHS, IMAGESxEPOCHS@SIZE to train at another image size, or from:FOLDER for
    what the calibration in a folder of nas.calibrate recommends."""
    stopping: Annotated[str, tyro.conf.arg(metavar="{dominated,halving,none}")] = "dominated"
    """When training is stopped early. dominated: even an optimistic accuracy would be beaten by finished candidates at
    no higher cost. halving: successive halving on the reward. none: never."""
    rungs: str | None = None
    """Where that is decided, as shares of a training. By default dominated takes 1/8,3/16,1/4,3/8,1/2 and halving
    1/8,1/4,1/2. With none candidates are only validated there, for the record; then by default there are none."""
    workers: int | None = None
    """Worker processes; 0 evaluates in this process. By default one per accelerator, or per CPU core. On a cluster, the
    most at a time; by default as many as it has room for."""
    worker_memory: str | None = None
    """Most memory that a worker may hold, such as 4GiB: a candidate that asks for more fails. By default no limit."""
    trial_timeout: float | None = None
    """Seconds after which a candidate's worker is taken to hang; it is then tried once more. By default 20 times the
    median of those that ended, at least ten minutes."""
    grace: float = 30.0
    """Seconds that running candidates have after SIGTERM or SIGUSR1; those that take longer are queued again."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0; cuda on a cluster."""
    devices: str | None = None
    """GPUs to deal out to the workers, such as cuda:0,cuda:1; by default all."""
    cluster: str | None = None
    """Evaluate on a Ray cluster: auto (this machine is a node of it), HOST:PORT of its head, ray://HOST:PORT (from
    outside), or local (one on this machine). By default in workers of this machine alone."""
    gpus_per_trial: float | None = None
    """Share of a GPU that a trial reserves on the cluster, up to 1; by default a whole one where there are any."""
    memory_per_trial: str | None = None
    """Memory of a node that a trial reserves on the cluster, such as 4GiB; by default none."""
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
    noise_repeats: int = 4
    """How many times reference networks, or else the first candidates, are trained again with other seeds, to tell
    differences between candidates from noise. Free; 0 for none."""
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
    signals: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="{naswot,synflow,grad_norm} ...")] = None
    """Training-free scores to record of each candidate."""
    prefilter: str | None = None
    """SIGNAL:KEEP, for example macs:0.5: of what the sampler proposes only that share is evaluated, the highest by
    params, macs, depth or a training-free score. By default all is."""
    out: Path | None = None
    """Folder of the run, new or empty. By default results/ and a name from time, space and data."""
    resume: Path | None = None
    """Folder of a run to go on with, up to the budget; other settings are those of the run unless given."""
    status: Path | None = None
    """Folder of a run: only print where its search stands, while it goes on or afterwards."""
    replay: Path | None = None
    """Folder of a run: only evaluate its front and its reference networks again, by its settings unless given, and
    compare. The exit code is 0 if accuracies agree, else 1."""
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
        if not 0 <= self.noise_repeats <= 1000:
            raise invalid("noise_repeats", "from 0 to 1000", self.noise_repeats, "Leave it out for the default.")
        if self.max_step_time is not None and not 0 < self.max_step_time < math.inf:
            raise invalid("max_step_time", "above 0 and finite", self.max_step_time, "Leave it out for no limit.")
        self._check_sharing()
        self._check_places()
        self.step_setup()
        if self.target_device is not None and self.step_words():
            todo = "A device's file says what its steps are: leave out the one or the other."
            raise invalid("target_device and step settings", "given one at a time", self.step_words(), todo)
        for name in self.signals or ():
            if name not in SIGNAL_NAMES:
                raise invalid("signals", "known", name, did_you_mean(name, SIGNAL_NAMES))
        self.prefilter_rule()
        if self.table is not None:
            self._check_table()
        folders = {name: getattr(self, name) for name in ("out", "resume", "status", "replay")}
        given = [name for name, folder in folders.items() if folder is not None]
        if len(given) > 1:
            todo = "--out is for a new run, --resume to go on with one, --status to look at one, --replay to check one."
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

    def _check_table(self) -> None:
        defaults = {f.name: f.default for f in fields(self)}
        for name in _OF_TRAINING:
            if getattr(self, name) != defaults[name]:
                todo = f"Nothing is trained or timed with a table: leave out the one or the other ({name})."
                raise invalid(f"table and {name}", "given one at a time", str(getattr(self, name)), todo)
        rule = self.prefilter_rule()
        if rule is not None and rule.signal in SIGNAL_NAMES:
            todo = "Without data no network can be scored: choose params, macs or depth."
            raise invalid("prefilter", "in closed form with a table", self.prefilter, todo)

    def prefilter_rule(self) -> PrefilterRule | None:
        """Return which proposals are evaluated; None for all. Raise InvalidInputError for what is no rule."""
        return None if self.prefilter is None else PrefilterRule.parse(self.prefilter)

    def _check_places(self) -> None:
        if self.devices is not None:
            parse_devices(self.devices)
            todo = "--devices deals GPUs of this machine out to worker processes."
            if self.device != "auto" or self.workers == 0:
                raise invalid("devices", "given without --device and with workers", self.devices, todo)
            if self.cluster is not None:
                raise invalid("devices", "given without --cluster", self.devices, todo)
        if self.cluster is not None:
            self._check_on_cluster(self.cluster)
        elif self.gpus_per_trial is not None or self.memory_per_trial is not None:
            asked = self.gpus_per_trial if self.memory_per_trial is None else self.memory_per_trial
            raise invalid("gpus_per_trial and memory_per_trial", "given with --cluster", asked, "Leave them out.")

    def _check_on_cluster(self, cluster: str) -> None:
        check_cluster(cluster)
        if self.workers == 0:
            raise invalid("workers", "at least 1 on a cluster", 0, "Leave it out for as many as find room.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise invalid("device", "auto, cpu or cuda on a cluster", self.device, "Ray decides on which GPU.")
        if self.timing_device is not None:
            todo = "A trial on a cluster is timed where it trains."
            raise invalid("timing_device", "left out on a cluster", self.timing_device, todo)
        if self.gpus_per_trial is not None and not 0 < self.gpus_per_trial <= 1:
            todo = "A candidate trains on one GPU, or on a share that others leave it."
            raise invalid("gpus_per_trial", "above 0 and at most 1", self.gpus_per_trial, todo)
        if self.gpus_per_trial is not None and self.device == "cpu":
            raise invalid("gpus_per_trial", "left out with --device cpu", self.gpus_per_trial, "Leave out one of them.")
        self.memory_per_trial_bytes()

    def memory_per_trial_bytes(self) -> int:
        """Return `memory_per_trial` in bytes, 0 if it is left out."""
        return 0 if self.memory_per_trial is None else parse_bytes("memory_per_trial", self.memory_per_trial)

    def _check_limits(self) -> None:
        check_seconds("grace", self.grace)
        if self.trial_timeout is not None:
            check_seconds("trial_timeout", self.trial_timeout)
        if self.worker_memory_bytes is not None and sys.platform != "linux":
            raise invalid("worker_memory", "left out on this system", self.worker_memory, "Only Linux can limit it.")
        limits = {"trial_timeout": self.trial_timeout, "worker_memory": self.worker_memory}
        for name, limit in limits.items():
            if name == "worker_memory" and limit is not None and self.cluster is not None:
                raise invalid(
                    name, "left out on a cluster", limit, "Use --memory-per-trial; Ray ends what takes too much."
                )
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
        return {**plain, **{name: None if plain[name] is None else str(plain[name]) for name in _PATHS}}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SearchSettings":
        """Read what `to_dict` wrote; raise InvalidInputError for unknown keys and values of another type."""
        check_kept(cls, plain, _OF_THE_CALL, "a search")
        paths = {name: plain.get(name) for name in _PATHS}
        signals = plain.get("signals")
        return cls(
            **{
                **plain,
                **{name: None if path is None else Path(path) for name, path in paths.items()},
                "signals": None if signals is None else tuple(signals),
            }
        )
