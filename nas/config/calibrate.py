"""Settings of `nas.calibrate`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from nas.config.checks import check_seed, check_val_images
from nas.config.search import DEFAULT_FIDELITY
from nas.errors import did_you_mean, invalid
from nas.evaluation.fidelity import Fidelity

MIN_NETWORKS = 4
"""With fewer, tau has next to no values that it can take."""

_OF_THE_CALL = frozenset({"workers", "device", "min_tau", "out", "resume", "report", "json", "config"})
"""Settings that do not change what is trained: they are not kept in the manifest."""


def ladder(num_images: int, long: Fidelity) -> tuple[str, ...]:
    """Return brief trainings about a search's default: half its images once, all once, as it is, twice the images.

    Args:
        num_images: Of the training split: with fewer than the default has, some of these are the same, and left out.
        long: Only what sees fewer images than this is of use; if nothing does, a training on one image in ten of it.
    """
    default = Fidelity.parse(DEFAULT_FIDELITY)
    images = (default.train_images // 2, default.train_images, default.train_images, 2 * default.train_images)
    epochs = (1, 1, default.epochs, default.epochs)
    steps = [replace(default, train_images=min(n, num_images), epochs=e) for n, e in zip(images, epochs, strict=True)]
    useful = [step for step in steps if step.images_seen < min(long.train_images, num_images) * long.epochs]
    return tuple(dict.fromkeys(map(str, useful))) or (str(Fidelity(max(1, long.train_images // 10), 1)),)


@dataclass(frozen=True)
class CalibrateSettings:
    """Find out how much brief training is worth: does it put networks into the order that long training does?

    Random networks of the space are trained at several fidelities and for long, with several seeds. At the end you have
    a table of rank correlations (Kendall's tau) with what noise leaves of them, what each fidelity costs, and the
    cheapest fidelity that ranks well enough, in a folder below results/. The same command with --resume goes on after
    a Ctrl-C or a crash.

    Examples:
        python -m nas.calibrate --data path/to/images
        python -m nas.calibrate --resume results/20260131-120000-calibrate-efficientnet_v2_tiny-images
        python -m nas.search --fidelity from:results/20260131-120000-calibrate-efficientnet_v2_tiny-images
    """

    space: str = "efficientnet_v2_tiny"
    """Search space: as in nas.search."""
    data: str = "fashion-hard"
    """Data set: as in nas.search."""
    networks: int = 20
    """Random networks to train; 16 to 24 are enough to tell a good proxy from a bad one."""
    fidelities: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="IMAGESxEPOCHS ...")] = None
    """Brief trainings to judge, as in nas.search. By default some about that of nas.search: 2500x1 5000x1 5000x2
    10000x2."""
    long: str = "30000x12"
    """The training whose order counts; fewer images where the data set has fewer."""
    repeats: int = 2
    """Trainings of each network at each fidelity, with different seeds; noise is known from two on."""
    min_tau: float = 0.6
    """Tau from which a fidelity is recommended."""
    workers: int | None = None
    """Worker processes, as in nas.search."""
    device: str = "auto"
    """auto, cpu, or an accelerator such as cuda:0."""
    seed: int = 0
    """Seed of the choice of networks, the split and training."""
    val_images: int | None = None
    """Images held out to measure accuracy, as in nas.search."""
    out: Path | None = None
    """Folder of the calibration, new or empty. By default results/ and a name from time, space and data."""
    resume: Path | None = None
    """Folder of a calibration to go on with: what is missing or failed is trained. Fidelities and repeats may be
    added."""
    report: Path | None = None
    """Folder of a calibration: only print and write its tables, from the trainings that it has."""
    json: bool = False
    """Print results as one JSON object and nothing else to stdout."""
    config: Path | None = None
    """TOML file of settings by the names of flags; flags override it."""

    def check(self) -> None:
        """Raise InvalidInputError for values that no machine and no data could make right."""
        if not MIN_NETWORKS <= self.networks <= 1000:
            raise invalid("networks", f"from {MIN_NETWORKS} to 1000", self.networks, "Leave it out for the default.")
        self._check_fidelities()
        if not 1 <= self.repeats <= 100:
            raise invalid("repeats", "from 1 to 100", self.repeats, "Leave it out for the default.")
        if not -1 <= self.min_tau <= 1:
            raise invalid("min_tau", "from -1 to 1", self.min_tau, "Leave it out for the default.")
        if self.workers is not None and not 0 <= self.workers <= 1024:
            raise invalid("workers", "from 0 to 1024", self.workers, "Leave it out for the default.")
        check_seed(self.seed)
        check_val_images(self.val_images)
        given = [name for name in ("out", "resume", "report") if getattr(self, name) is not None]
        if len(given) > 1:
            todo = "--out is for a new calibration, --resume to go on with one, --report to look at one."
            raise invalid(" and ".join(given), "given one at a time", str(getattr(self, given[0])), todo)

    def _check_fidelities(self) -> None:
        given = self.fidelities or ()
        for fidelity in (*given, self.long):
            Fidelity.parse(fidelity)
        if self.fidelities == () or len(set(given)) < len(given):
            raise invalid("fidelities", "one or more, each once", list(given), "Leave it out for the default.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types for the manifest, without those that do not change what is trained."""
        plain = {key: value for key, value in asdict(self).items() if key not in _OF_THE_CALL}
        return {**plain, "fidelities": None if self.fidelities is None else list(self.fidelities)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "CalibrateSettings":
        """Read what `to_dict` wrote; raise InvalidInputError for unknown keys."""
        known = {f.name for f in fields(cls)} - _OF_THE_CALL
        for key in plain:
            if key not in known:
                raise invalid("settings in the manifest", "those of a calibration", key, did_you_mean(key, known))
        fidelities = plain.get("fidelities")
        return cls(**{**plain, "fidelities": None if fidelities is None else tuple(fidelities)})
