"""A network as one Python file that needs torch alone: a table, three classes and `create`.

Its parameters have torchvision's names, as the shared builder's have, so that weights of either load by name.
"""

from collections.abc import Mapping

from nas.models.export.network import Network
from nas.models.options import Init


def standalone_file(network: Network) -> str:
    """Return a Python file whose `create(num_classes, in_channels)` builds the network."""
    spec, options = network.spec, network.options
    pads_same = options.padding == "same"
    rows = (
        (s.block, s.expand_ratio, s.kernel_size, s.stride, s.out_channels, s.num_layers, s.se_ratio)
        for s in spec.stages
    )
    values = {
        "SUMMARY": spec.summary,
        "ARCH_ID": spec.arch_id,
        "NAME": ascii(spec.name),
        "ROWS": "\n".join(f"    {row!r}," for row in rows),
        "STEM": f"{spec.stem_channels}, {spec.stem_stride}",
        "HEAD": spec.head_channels,
        "NORM": f"{options.norm_eps!r}, {options.norm_momentum!r}",
        "SAME_CONV": _SAME_CONV if pads_same else "",
        "CHOICE": _CHOICE if pads_same else "",
        "CONV": "conv_class" if pads_same else "nn.Conv2d",
        "FAN_OUT": _FAN_OUTS[options.init],
        "DROPOUT": f"{spec.dropout!r}, {spec.stochastic_depth!r}",
        "NUM_CLASSES": network.num_classes,
        "IN_CHANNELS": network.in_channels,
        "IMAGE_SIZE": network.image_size,
    }
    return _FILE % values


_FAN_OUTS: Mapping[Init, str] = {
    "google": "module.out_channels // module.groups",
    "torchvision": "module.out_channels",
}

_SAME_CONV = '''

class SameConv2d(nn.Conv2d):
    """A convolution of stride 2 that pads even sides as TensorFlow does: one pixel less before than behind."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % 2 and width % 2:
            return super().forward(images)
        behind = self.kernel_size[0] // 2
        padded = nn.functional.pad(images, (behind - 1 + width % 2, behind, behind - 1 + height % 2, behind))
        return nn.functional.conv2d(padded, self.weight, stride=self.stride, groups=self.groups)
'''

_CHOICE = """\
    conv_class = SameConv2d if stride > 1 and kernel > 1 else nn.Conv2d
"""

_FILE = '''\
"""%(SUMMARY)s

A network of the EfficientNetV2 family (arXiv 2104.00298), architecture %(ARCH_ID)s. Needs torch alone:

    model = create()
    logits = model(torch.randn(2, %(IN_CHANNELS)d, %(IMAGE_SIZE)d, %(IMAGE_SIZE)d))

Parameters are named as torchvision names them; weights load by name with `model.load_state_dict`.
"""

import math

import torch
from torch import Tensor, nn

NAME = %(NAME)s
# Block, expand_ratio, kernel_size, stride of the first layer, out_channels, num_layers, se_ratio of a block's input.
STAGES = [
%(ROWS)s
]
STEM_CHANNELS, STEM_STRIDE = %(STEM)s
HEAD_CHANNELS = %(HEAD)d
DROPOUT, STOCHASTIC_DEPTH = %(DROPOUT)s
NORM_EPS, NORM_MOMENTUM = %(NORM)s
%(SAME_CONV)s

def conv_norm(ins: int, outs: int, kernel: int = 1, stride: int = 1, groups: int = 1, silu: bool = True) -> nn.Module:
    """A convolution and BatchNorm, then SiLU unless it is to be linear."""
%(CHOICE)s    conv = %(CONV)s(ins, outs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(outs, NORM_EPS, NORM_MOMENTUM)]
    return nn.Sequential(*layers, nn.SiLU(inplace=True)) if silu else nn.Sequential(*layers)


class SqueezeExcitation(nn.Module):
    """Scales each channel by what all channels look like on average."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.fc2(nn.functional.silu(self.fc1(mean))))


class Block(nn.Module):
    """MBConv, or Fused-MBConv, with a skip connection where shapes allow one."""

    def __init__(
        self, kind: str, ins: int, outs: int, expand: int, kernel: int, stride: int, se: float, drop: float
    ) -> None:
        super().__init__()
        hidden = ins * expand
        layers: list[nn.Module] = []
        if kind == "mbconv":
            if expand > 1:
                layers.append(conv_norm(ins, hidden))
            layers.append(conv_norm(hidden, hidden, kernel, stride, groups=hidden))
        else:  # One regular convolution; without expansion it is the whole block.
            layers.append(conv_norm(ins, hidden if expand > 1 else outs, kernel, stride))
        if se > 0:
            layers.append(SqueezeExcitation(hidden, max(1, int(ins * se))))
        if kind == "mbconv" or expand > 1:
            layers.append(conv_norm(hidden, outs, silu=False))
        self.block = nn.Sequential(*layers)
        self.has_skip = stride == 1 and ins == outs
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        out = self.block(x)
        if not self.has_skip:
            return out
        if self.training and self.drop > 0:  # Stochastic depth: some images skip the block.
            keep = 1 - self.drop
            out = out * torch.empty(len(x), 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(keep) / keep
        return out + x


class Network(nn.Module):
    """Stem, stages and head, then the classifier."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(in_channels, STEM_CHANNELS, 3, STEM_STRIDE)]
        channels, index, num_blocks = STEM_CHANNELS, 0, sum(stage[5] for stage in STAGES)
        for kind, expand, kernel, stride, outs, num_layers, se in STAGES:
            blocks = []
            for layer in range(num_layers):
                drop = STOCHASTIC_DEPTH * index / num_blocks
                blocks.append(Block(kind, channels, outs, expand, kernel, stride if layer == 0 else 1, se, drop))
                channels, index = outs, index + 1
            layers.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*layers, conv_norm(channels, HEAD_CHANNELS))
        self.classifier = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(HEAD_CHANNELS, num_classes))
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, in_channels, H, W) to logits (N, num_classes)."""
        features = nn.functional.adaptive_avg_pool2d(self.features(images), 1)
        return self.classifier(features.flatten(1))


def initialise(module: nn.Module) -> None:
    """EfficientNetV2's initialisation: normal with variance 2 / fan-out, dense uniform."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] ** 2 * %(FAN_OUT)s
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        bound = 1 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)


def create(num_classes: int = %(NUM_CLASSES)d, in_channels: int = %(IN_CHANNELS)d) -> Network:
    """Build the network with new weights."""
    return Network(num_classes, in_channels)
'''
