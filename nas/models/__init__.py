"""The shared model builder and the published networks.

`build_model` needs torch and is imported on first use; specs, the zoo and scaling do not.
"""

from typing import TYPE_CHECKING, Any

from nas.models.zoo import ARCH_NAMES, get_arch, load_arch

if TYPE_CHECKING:
    from nas.models.builder import EfficientNet, build_model

__all__ = ["ARCH_NAMES", "EfficientNet", "build_model", "get_arch", "load_arch"]


def __getattr__(name: str) -> Any:
    if name in ("EfficientNet", "build_model"):
        from nas.models import builder

        return getattr(builder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
