"""The shared model builder and the published networks.

What needs torch is imported on first use; specs, the zoo, build options and scaling do not.
"""

import importlib
from typing import TYPE_CHECKING, Any

from nas.models.options import IMPLEMENTATIONS, BuildOptions, get_options
from nas.models.zoo import ARCH_NAMES, get_arch, load_arch

if TYPE_CHECKING:
    from nas.models.builder import EfficientNet, build_model
    from nas.models.freezing import freeze, unfreeze
    from nas.models.pyramid import FeatureExtractor
    from nas.models.weights import export_weights, inherit_weights, load_weights

__all__ = [
    "ARCH_NAMES",
    "IMPLEMENTATIONS",
    "BuildOptions",
    "EfficientNet",
    "FeatureExtractor",
    "build_model",
    "export_weights",
    "freeze",
    "get_arch",
    "get_options",
    "inherit_weights",
    "load_arch",
    "load_weights",
    "unfreeze",
]

_WITH_TORCH = {
    "EfficientNet": "builder",
    "FeatureExtractor": "pyramid",
    "build_model": "builder",
    "export_weights": "weights",
    "freeze": "freezing",
    "inherit_weights": "weights",
    "load_weights": "weights",
    "unfreeze": "freezing",
}


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(importlib.import_module(f"nas.models.{_WITH_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
