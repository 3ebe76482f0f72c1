"""From one network to larger ones: a family of sizes by a rule, or the largest that a target allows. No torch."""

from nas.models.scaling.rule import SIZES, scale_base, scale_family
from nas.models.scaling.solve import Scaled, scale_to, scale_to_measured
from nas.models.scaling.target import ScalingTarget, closed_form_cost

__all__ = [
    "SIZES",
    "Scaled",
    "ScalingTarget",
    "closed_form_cost",
    "scale_base",
    "scale_family",
    "scale_to",
    "scale_to_measured",
]
