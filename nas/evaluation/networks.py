"""Networks by name: files, published ones, and those of torchvision and timm."""

from collections.abc import Callable
from importlib.metadata import version

from torch import nn

from nas.errors import did_you_mean, invalid
from nas.evaluation.timed_step import Network
from nas.models import load_arch

_PEER_IMAGE_SIZE = 224

_OPTIONS = {
    # Losses on the side are not what a step of ours would have; weights drawn by scipy take a minute.
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


def find_network(name: str) -> Network:
    """Return the network called `name`.

    Args:
        name: A JSON file of an architecture, a published network such as "efficientnet_v2_s", or one of another
            library: "torchvision:resnet50" or, where timm is installed, "timm:efficientnetv2_rw_s".

    Raises:
        InvalidInputError: If there is none.
    """
    for prefix, find in (("torchvision:", _from_torchvision), ("timm:", _from_timm)):
        if name.startswith(prefix):
            return find(name.removeprefix(prefix))
    return Network.of(load_arch(name))


def _from_torchvision(name: str) -> Network:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise invalid("torchvision network", "one of its classifiers", name, did_you_mean(name, known))

    def build(num_classes: int, in_channels: int) -> nn.Module:
        if in_channels != 3:
            raise invalid("in_channels", "3 for networks of torchvision", in_channels, "Leave it out.")
        options = _OPTIONS.get(name, {})
        model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **options)
        return model

    return _peer("torchvision", name, _PEER_IMAGE_SIZE, build)


def _from_timm(name: str) -> Network:
    try:
        import timm
    except ModuleNotFoundError:
        raise invalid("timm network", "of an installed timm", name, "Install it: pip install timm.") from None
    if not timm.is_model(name):
        raise invalid("timm network", "one of its models", name, did_you_mean(name, timm.list_models()))
    published = timm.get_pretrained_cfg(name)

    def build(num_classes: int, in_channels: int) -> nn.Module:
        model: nn.Module = timm.create_model(name, num_classes=num_classes, in_chans=in_channels)
        return model

    return _peer("timm", name, published.input_size[-1] if published else _PEER_IMAGE_SIZE, build)


def _peer(library: str, name: str, image_size: int, build: Callable[[int, int], nn.Module]) -> Network:
    return Network(f"{library}:{name}", build, image_size, identity=f"{library} {version(library)} {name}")
