"""How much each size multiplies its base network: the numbers of the scaling rule, and those in between.

The published tables are explained by the coefficients of EfficientNet's B4, B5 and B7 on one base list of stages
(Tan & Le 2021, section 3.3, prints none). Between them, and beyond, the line is that of EfficientNet: B6 lies half way
from B5 to B7, and a step further is 1.1 times the width and 1.2 times the depth (Tan & Le 2019, section 3.3).
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Factors on a base network.

    Attributes:
        width: On the channels of stem and stages.
        depth: On the layers of stages.
        deeper: On the layers of the last stages of S in addition, the last of them last.
        wider: On their channels, likewise.
        added: Share of its layers that the added stage has, 0 to 1.
        extra_dropout: What dropout grows by.
    """

    width: Fraction
    depth: Fraction
    deeper: tuple[Fraction, Fraction, Fraction] = (Fraction(1),) * 3
    wider: tuple[Fraction, Fraction, Fraction] = (Fraction(1),) * 3
    added: Fraction = Fraction(0)
    extra_dropout: Fraction = Fraction(0)


# "Gradually add more layers to later stages" (section 3.3): the last stage but one of S, and one stage more.
_DEEPER = (Fraction(1), Fraction(6, 5), Fraction(1))

BASE = Coefficients(Fraction(1), Fraction(1))
S = Coefficients(Fraction("1.4"), Fraction("1.8"))
M = Coefficients(Fraction("1.6"), Fraction("2.2"), _DEEPER, added=Fraction(1), extra_dropout=Fraction("0.1"))
L = Coefficients(Fraction("2.0"), Fraction("3.1"), _DEEPER, added=Fraction(1), extra_dropout=Fraction("0.2"))

# XL is off the line: L's width, but for the last two stages of S, and later stages deeper still.
XL = Coefficients(
    width=Fraction("2.0"),
    depth=Fraction("4.0"),
    deeper=(Fraction(4, 3), Fraction(6, 5), Fraction(1)),
    wider=(Fraction(1), Fraction(8, 7), Fraction(4, 3)),
    added=Fraction(1),
    extra_dropout=Fraction("0.2"),
)

_STEP_WIDTH, _STEP_DEPTH = 1.1, 1.2
_KNOTS = ((0, S), (1, M), (3, L))

MAX_STEP = 100.0
"""Where every width and depth that a spec can have is at its limit."""


def coefficients_at(step: float) -> Coefficients:
    """Return the rule's coefficients at a compound coefficient: 0 is S, 1 is M, 3 is L; linear in between.

    Beyond L each step is 1.1 times the width and 1.2 times the depth.
    """
    exact_step = Fraction(step).limit_denominator(10_000)
    for (low, below), (high, above) in pairwise(_KNOTS):
        if exact_step <= high:
            return _between(below, above, (exact_step - low) / (high - low))
    beyond = float(exact_step) - _KNOTS[-1][0]
    return Coefficients(
        width=L.width * Fraction(_STEP_WIDTH**beyond),
        depth=L.depth * Fraction(_STEP_DEPTH**beyond),
        deeper=L.deeper,
        wider=L.wider,
        added=L.added,
        extra_dropout=L.extra_dropout,
    )


def _between(low: Coefficients, high: Coefficients, share: Fraction) -> Coefficients:
    def mix(a: Fraction, b: Fraction) -> Fraction:
        return a + (b - a) * share

    first, second, third = (mix(a, b) for a, b in zip(low.deeper, high.deeper, strict=True))
    return Coefficients(
        width=mix(low.width, high.width),
        depth=mix(low.depth, high.depth),
        deeper=(first, second, third),
        added=mix(low.added, high.added),
        extra_dropout=Fraction(round(100 * mix(low.extra_dropout, high.extra_dropout)), 100),
    )
