"""Our layers against the modules that they replace: equal outputs to the bit, equal gradients up to rounding."""

import copy
import io
import shutil
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from nas.models.blocks import conv_norm, conv_norm_silu
from nas.models.layers import SqueezeExcitation
from nas.models.options import DEFAULT_OPTIONS, BuildOptions

CL, NCHW = torch.channels_last, torch.contiguous_format
# in and out channels, kernel size, stride, groups, image size: every way in which gradients are computed.
CONVOLUTIONS = {
    "full": (6, 8, 3, 1, 1, 9),
    "full, stride 2": (6, 8, 3, 2, 1, 9),
    "pointwise, narrow": (6, 8, 1, 1, 1, 5),
    "pointwise, wide": (24, 32, 1, 1, 1, 5),
    "pointwise, stride 2": (24, 32, 1, 2, 1, 5),
    "depthwise 3": (8, 8, 3, 1, 8, 9),
    "depthwise 3, small map": (8, 8, 3, 1, 8, 2),
    "depthwise 3, small map, stride 2": (8, 8, 3, 2, 8, 3),
    "depthwise 5": (8, 8, 5, 1, 8, 9),
    "depthwise 5, one pixel": (8, 8, 5, 1, 8, 1),
    "depthwise 5, stride 2": (8, 8, 5, 2, 8, 9),
    "depthwise 5, stride 2, small map": (8, 8, 5, 2, 8, 6),
    "depthwise 7": (8, 8, 7, 1, 8, 4),
    "depthwise 1": (8, 8, 1, 1, 8, 4),
    "full 5, one channel": (1, 1, 5, 1, 1, 4),
}


def plain(layer: nn.Module) -> nn.Module:
    """Return a copy of a layer that runs on PyTorch's own modules, one after another."""
    if isinstance(layer, SqueezeExcitation):
        other = torchvision.ops.SqueezeExcitation(layer.fc1.in_channels, layer.fc1.out_channels, activation=nn.SiLU)
        other.load_state_dict(layer.state_dict())
        return other.to(layer.fc1.weight.dtype)
    return nn.Sequential(*copy.deepcopy(layer))


def layer_and_images(
    name: str, *, activates: bool = True, dtype: torch.dtype = torch.float32, layout=CL, options=DEFAULT_OPTIONS
):
    torch.manual_seed(0)
    in_channels, out_channels, kernel_size, stride, groups, size = CONVOLUTIONS[name]
    make = conv_norm_silu if activates else conv_norm
    layer = make(options, in_channels, out_channels, kernel_size, stride, groups)
    nn.init.uniform_(layer[1].weight, 0.5, 2.0)
    nn.init.normal_(layer[1].bias)
    images = torch.randn(3, in_channels, size, size, dtype=dtype)
    return layer.to(dtype=dtype, memory_format=layout), images.contiguous(memory_format=layout)


def excitation_and_images(dtype: torch.dtype = torch.float32, layout=CL):
    torch.manual_seed(0)
    layer = SqueezeExcitation(8, 2, activation=partial(nn.SiLU, inplace=True))
    return layer.to(dtype=dtype), torch.randn(3, 8, 5, 4, dtype=dtype).contiguous(memory_format=layout)


def gradients(layer: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the output, and the gradients of a loss by images and parameters."""
    images = images.clone().requires_grad_()
    out = layer(images)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    (out * weights).sum().backward()
    return out.detach(), [images.grad, *(p.grad for p in layer.parameters())]


def is_own(out: Tensor) -> bool:
    """Whether a layer of ours computed this in its own way."""
    return type(out.grad_fn).__name__ in ("_NormActivationBackward", "_SqueezeExcitationBackward")


@pytest.mark.parametrize("layout", [CL, NCHW])
@pytest.mark.parametrize("activates", [True, False])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_is_the_plain_one(name, activates, layout):
    """Several steps: outputs and running statistics bitwise, in training and in evaluation."""
    layer, images = layer_and_images(name, activates=activates, layout=layout)
    other = plain(layer)
    assert is_own(layer(images))
    other(images)
    for step in range(3):
        assert torch.equal(layer(images + step), other(images + step))
    for (key, mine), theirs in zip(layer.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), key
    assert torch.equal(layer.eval()(images), other.eval()(images))
    with torch.no_grad():
        assert torch.equal(layer.train()(images), other.train()(images))


@pytest.mark.parametrize("layout", [CL, NCHW])
@pytest.mark.parametrize("activates", [True, False])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gradients_of_a_convolution_are_the_plain_ones(name, activates, layout):
    layer, images = layer_and_images(name, activates=activates, dtype=torch.float64, layout=layout)
    other = plain(layer)
    (out, mine), (expected, theirs) = gradients(layer, images), gradients(other, images)
    assert torch.equal(out, expected)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert mine[0].is_contiguous(memory_format=layout)


def test_a_convolution_that_pads_as_tensorflow_does_is_run_as_it_is():
    options = BuildOptions(padding="same")
    layer, images = layer_and_images("depthwise 5, stride 2, small map", dtype=torch.float64, options=options)
    (out, mine), (expected, theirs) = gradients(layer, images), gradients(plain(layer), images)
    assert torch.equal(out, expected)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["full", "pointwise, wide", "depthwise 5", "depthwise 3, small map"])
def test_gradients_of_a_convolution_are_those_of_finite_differences(name):
    layer, images = layer_and_images(name, dtype=torch.float64)
    images = images[..., :3, :3].contiguous(memory_format=CL).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (images, *layer.parameters()), fast_mode=True)


@pytest.mark.parametrize("layout", [CL, NCHW])
def test_squeeze_excitation_is_torchvisions(layout):
    layer, images = excitation_and_images(layout=layout)
    assert is_own(layer(images.requires_grad_()))
    for mode in (True, False):
        assert torch.equal(layer.train(mode)(images), plain(layer).train(mode)(images))
    layer, images = excitation_and_images(torch.float64, layout)
    for mine, theirs in zip(gradients(layer, images)[1], gradients(plain(layer), images)[1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (images.requires_grad_(), *layer.parameters()))


@pytest.mark.parametrize("learns", ["images", "weight", "norm", "nothing"])
def test_only_gradients_that_are_asked_for_are_computed(learns):
    layer, images = layer_and_images("depthwise 5")
    layer.requires_grad_(False)
    chosen = {"images": [images], "weight": [layer[0].weight], "norm": list(layer[1].parameters()), "nothing": []}
    for tensor in chosen[learns]:
        tensor.requires_grad_()
    out = layer(images)
    assert out.requires_grad == (learns != "nothing")
    if out.requires_grad:
        out.sum().backward()
    for tensor in (images, *layer.parameters()):
        assert (tensor.grad is not None) == any(tensor is one for one in chosen[learns])


def without_momentum(layer: nn.Module) -> None:
    layer[1].momentum = None


def with_frozen_norm(layer: nn.Module) -> None:
    layer[1].eval()


def with_a_hook(layer: nn.Module) -> None:
    layer[1].register_forward_hook(lambda module, args, out: out * 2)


def with_another_activation(layer: nn.Module) -> None:
    layer[2] = nn.ReLU()


def with_synchronised_norm(layer: nn.Module) -> None:
    layer[1] = nn.SyncBatchNorm.convert_sync_batchnorm(layer[1])


def with_spectral_norm(layer: nn.Module) -> None:
    nn.utils.parametrizations.spectral_norm(layer[0])


@pytest.mark.parametrize(
    "change", [without_momentum, with_frozen_norm, with_a_hook, with_another_activation, with_spectral_norm]
)
def test_a_changed_layer_does_as_changed(change: Callable[[nn.Module], None]):
    layer, images = layer_and_images("full")
    change(layer)
    other = plain(layer)
    (out, mine), (expected, theirs) = gradients(layer, images), gradients(other, images)
    assert torch.equal(out, expected)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    for (key, a), b in zip(layer.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_a_synchronised_norm_takes_the_place_of_a_batch_norm():
    layer, images = layer_and_images("full")
    with_synchronised_norm(layer)
    assert type(layer[1]) is nn.SyncBatchNorm
    other = plain(layer)
    for mode in (True, False):
        out = layer.train(mode)(images)
        assert not is_own(out)  # what the other processes hold is its own matter
        assert torch.equal(out, other.train(mode)(images))


def test_mixed_precision_is_the_plain_layers():
    layer, images = layer_and_images("full")
    excitation, maps = excitation_and_images()
    for mine, x in ((layer, images), (excitation, maps)):
        other = plain(mine)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(mine(x), other(x))


def test_one_image_of_one_pixel_is_refused_as_by_batch_norm():
    layer, _ = layer_and_images("full")
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        layer(torch.randn(1, 6, 1, 1))


def test_a_second_derivative_is_refused():
    layer, images = layer_and_images("full")
    (grad,) = torch.autograd.grad(layer(images.requires_grad_()).square().sum(), images, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_function_transforms_take_the_plain_way():
    layer, images = excitation_and_images()
    parameters = dict(layer.named_parameters())
    loss = lambda values: torch.func.functional_call(layer, values, (images,)).square().mean()  # noqa: E731
    found = torch.func.grad(loss)(parameters)
    loss(parameters).backward()
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_a_layer_can_be_copied_and_saved_after_a_step():
    layer, images = layer_and_images("full")
    layer(images).sum().backward()
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    twin = copy.deepcopy(layer)
    twin.load_state_dict(torch.load(file))
    assert list(twin.state_dict()) == list(plain(layer).state_dict())
    assert torch.equal(twin(images), layer(images))


def test_gradients_are_the_same_under_checkpointing():
    layer, images = layer_and_images("full", dtype=torch.float64)
    found = gradients(Wrapped(layer, lambda x: checkpoint(layer, x, use_reentrant=False)), images)
    layer.zero_grad()
    for mine, theirs in zip(found[1], gradients(layer, images)[1], strict=True):
        assert torch.equal(mine, theirs)


class Wrapped(nn.Module):
    """A layer that is run in some other way than by calling it."""

    def __init__(self, layer: nn.Module, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = layer
        self.run = [run]  # in a list, so as not to become a child

    def forward(self, images: Tensor) -> Tensor:
        return self.run[0](images)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_layer_is_one_graph_of_plain_operators(backend):
    layer, images = layer_and_images("full")
    other = copy.deepcopy(layer)
    (out, mine), (expected, theirs) = (
        gradients(Wrapped(layer, torch.compile(layer, backend=backend, fullgraph=True)), images),
        gradients(other, images),
    )
    torch.testing.assert_close(out, expected)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def kept_bytes(layer: nn.Module, images: Tensor) -> int:
    """Return the bytes of all distinct tensors that a forward pass keeps for the backward pass, parameters left out."""
    kept: dict[int, int] = {}
    ignored = {parameter.data_ptr() for parameter in layer.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in ignored:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(images).sum()
    return sum(kept.values())


def test_a_convolution_keeps_a_third_less():
    """Two layers in a row: of three tensors each, BatchNorm's output is not kept. (The last output is nobody's.)"""
    layer, images = layer_and_images("full")
    layer = nn.Sequential(layer, conv_norm_silu(DEFAULT_OPTIONS, 8, 8, 3).to(memory_format=CL))
    other = nn.Sequential(*(plain(part) for part in layer))
    one = 3 * 8 * 9 * 9 * 4
    assert kept_bytes(other, images) - kept_bytes(layer, images) == pytest.approx(2 * one, rel=0.02)
