"""`Prefilter`: proposals that a cheap signal speaks against are passed over before they are evaluated."""

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nas.complexity import complexity, depth
from nas.errors import did_you_mean, invalid
from nas.evaluation.measurement import SIGNAL_NAMES
from nas.spec import ArchSpec

TRIVIAL_SIGNALS = ("params", "macs", "depth")
"""Signals in closed form, which the others have to beat: parameters, multiply-adds, convolutions in a row."""

MIN_SIGNALS = 10
"""Proposals that pass before any is held against them."""


@dataclass(frozen=True, slots=True)
class PrefilterRule:
    """Attributes:
    signal: One of `TRIVIAL_SIGNALS` or `SIGNAL_NAMES`; higher is taken to be better.
    keep: Share of the proposals to evaluate, above 0 and below 1.
    """

    signal: str
    keep: float

    @classmethod
    def parse(cls, text: str) -> "PrefilterRule":
        """Read "SIGNAL:KEEP", for example "macs:0.5"; raise InvalidInputError where it is none."""
        signal, _, share = text.partition(":")
        known = (*TRIVIAL_SIGNALS, *SIGNAL_NAMES)
        if signal not in known:
            raise invalid("prefilter", "SIGNAL:KEEP with a known signal", text, did_you_mean(signal, known))
        try:
            keep = float(share)
        except ValueError:
            keep = 0.0
        if not 0 < keep < 1:
            todo = f'Write for example "{signal}:0.5" to evaluate half of what is proposed.'
            raise invalid("prefilter", "SIGNAL:KEEP with a share above 0 and below 1", text, todo)
        return cls(signal, keep)


@dataclass(slots=True)
class Prefilter:
    """Judges new proposals one after the other, each by those before it.

    Attributes:
        keep: Share of the proposals to evaluate.
        score: Returns a network's signal, higher is better; None is the lowest.
        signals: Of the proposals so far, in rising order.
    """

    keep: float
    score: Callable[[ArchSpec], float | None]
    signals: list[float] = field(default_factory=list)
    _known: dict[str, float | None] = field(default_factory=dict)

    def resume(self, signals: Iterable[float | None]) -> None:
        """Take up where a search was, from the signals of its proposals."""
        self.signals = sorted(map(_rank, signals))

    def judge(self, spec: ArchSpec) -> tuple[float | None, float]:
        """Return a proposal's signal, and by how much it is too low: 0 or less is evaluated.

        It is too low where it lies below the quantile `1 - keep` of the proposals before it; the excess is the
        difference of the shares, so it says nothing of the signal's unit.
        """
        if spec.arch_id not in self._known:
            self._known[spec.arch_id] = self.score(spec)
        signal = self._known[spec.arch_id]
        before = len(self.signals)
        share = bisect_right(self.signals, _rank(signal)) / before if before else 1.0
        insort(self.signals, _rank(signal))
        return signal, (1 - self.keep) - share if before >= MIN_SIGNALS else 0.0


def trivial_signal(signal: str, *, num_classes: int, in_channels: int) -> Callable[[ArchSpec], float]:
    """Return the function for one of `TRIVIAL_SIGNALS`, for networks on data of so many classes and channels."""

    def score(spec: ArchSpec) -> float:
        if signal == "depth":
            return depth(spec)
        cost = complexity(spec, num_classes=num_classes, in_channels=in_channels)
        return cost.num_params if signal == "params" else cost.num_macs

    return score


def _rank(signal: float | None) -> float:
    return float("-inf") if signal is None else signal
