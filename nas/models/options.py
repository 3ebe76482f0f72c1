"""`BuildOptions`: what implementations of EfficientNetV2 do differently with the same table.

An `ArchSpec` says which layers a network has. It leaves open how borders are padded, two numbers of BatchNorm, and what
freshly made weights are drawn from, and the published implementations differ in these. None of them changes the shape
of a weight or an output, so weights load whatever the options are; what a network computes with them does depend on the
padding and on `norm_eps`.

Dropout and stochastic depth differ as well (timm leaves both out unless asked), but belong to the spec. How channels
are rounded and the stride of the stem are part of making a spec, see `nas.models.get_arch`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from nas.errors import did_you_mean, invalid

Padding = Literal["symmetric", "same"]
Init = Literal["google", "torchvision"]


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Choices of `nas.models.build_model` that a spec leaves open.

    Attributes:
        padding: "symmetric" pads (kernel_size - 1) / 2 on every side, at any image size. "same" is TensorFlow's: where
            a stride of 2 meets an even side, it pads one row less before than behind. Of odd sides the two make the
            same. Default "symmetric": nothing is copied to pad, and what was trained one way computes only slightly
            differently the other way (0.25% of the logits of a random S at 128 pixels). Weights that were ported from
            TensorFlow need "same" to compute exactly what they did there.
        norm_eps: BatchNorm's epsilon, above 0 and at most 1. Default 1e-3: the released code's, and that of all
            published weights but those that timm trained itself, which have 1e-5.
        norm_momentum: Weight of a new batch in BatchNorm's running statistics, above 0 and at most 1, as PyTorch
            defines it (Keras' momentum is 1 minus this). Default 0.1: the released code's. The paper prints 0.01,
            which takes ten times as many steps to settle.
        init: What weights are drawn from. "google" counts the outputs of one group in a convolution's fan-out, which
            gives a depthwise 3x3 convolution a standard deviation of 0.47 whatever its width; "torchvision" counts all
            channels, so that depthwise weights start smaller by the root of their number. All else is equal. Default
            "google": the paper's networks were trained from it, and timm starts from it too.
    """

    padding: Padding = "symmetric"
    norm_eps: float = 1e-3
    norm_momentum: float = 0.1
    init: Init = "google"

    def __post_init__(self) -> None:
        for name, value, known in (("padding", self.padding, Padding), ("init", self.init, Init)):
            if value not in get_args(known):
                rule = " or ".join(f'"{choice}"' for choice in get_args(known))
                raise invalid(name, rule, value, did_you_mean(value, get_args(known)))
        for name in ("norm_eps", "norm_momentum"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 < value <= 1:  # Which nan is not either.
                raise invalid(name, "a number above 0, at most 1", value, "Correct the value.")
            object.__setattr__(self, name, float(value))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `BuildOptions.from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "BuildOptions":
        """Read what `to_dict` wrote; what is missing has its default.

        Raises:
            InvalidInputError: On unknown keys, or values out of range.
        """
        if not isinstance(plain, Mapping):
            raise invalid("build options", "a JSON object", plain, "Write them with BuildOptions.to_dict.")
        known = [field.name for field in fields(cls)]
        for key in plain:
            if key not in known:
                raise invalid("build options", f"among {', '.join(known)}", key, did_you_mean(key, known))
        return cls(**plain)


DEFAULT_OPTIONS = BuildOptions()

IMPLEMENTATIONS: dict[str, BuildOptions] = {
    "google": BuildOptions(padding="same"),
    "paper": BuildOptions(padding="same", norm_momentum=0.01),
    "torchvision": BuildOptions(init="torchvision"),
    "timm": BuildOptions(norm_eps=1e-5),
    "timm_tf": BuildOptions(padding="same"),
}
"""Published implementations by name.

- "google": the released code (google/automl, efficientnetv2).
- "paper": the same with the BatchNorm momentum of the paper's text (section 5.1), which the code does not use.
- "torchvision": `efficientnet_v2_s`, `_m` and `_l`.
- "timm": its `efficientnetv2_*`, which it defines for PyTorch.
- "timm_tf": its `tf_efficientnetv2_*`, ported from the released code with their weights.
"""


def get_options(name: str) -> BuildOptions:
    """Return the options of a published implementation, one of `IMPLEMENTATIONS`.

    Raises:
        InvalidInputError: If the name is unknown.
    """
    if not isinstance(name, str) or name not in IMPLEMENTATIONS:
        raise invalid("implementation", "known", name, did_you_mean(name, IMPLEMENTATIONS))
    return IMPLEMENTATIONS[name]
