"""Layers that compute what torchvision's do and keep less for the backward pass, which is also faster on a CPU.

Outputs, running statistics and state dicts are torchvision's, bit for bit. Gradients are equal up to rounding. On
anything but a plain CPU training step (an accelerator, autocast, evaluation, compilation, tracing, hooks or replaced
children such as SyncBatchNorm) the layers are torchvision's own. results/training_step has the measurements.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torchvision import ops

_MIN_MATRIX_CHANNELS = 24  # below this oneDNN's pointwise gradients are faster than matrix products
_STRIP_WIDTH = 3  # the width of a depthwise kernel that oneDNN has a fast weight gradient for
_aten = torch.ops.aten


class ConvNormSequence(nn.Sequential):
    """A convolution, BatchNorm and perhaps SiLU; a base for whatever makes them.

    Kept for the backward pass are the layer's input and the convolution's output. PyTorch's layers keep BatchNorm's
    output as well, and write it once more to do so; here the backward pass computes it again, in place of a copy.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H', W')."""
        if not (_trains_on_cpu(images, *self) and _is_plain_norm(*list(self)[1:]) and len(images) > 1):
            return cast(Tensor, super().forward(images))  # type: ignore[no-untyped-call]
        mixed, norm = _convolve(images, self[0]), cast(nn.BatchNorm2d, self[1])
        cast(Tensor, norm.num_batches_tracked).add_(1)
        return cast(Tensor, _NormActivation.apply(mixed, norm.weight, norm.bias, norm, len(self) == 3))


class SqueezeExcitation(ops.SqueezeExcitation):  # type: ignore[misc]
    """Squeeze-excitation whose backward pass makes one large tensor where autograd's makes four."""

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        children = (self.avgpool, self.fc1, self.activation, self.fc2, self.scale_activation)
        kinds = (nn.AdaptiveAvgPool2d, nn.Conv2d, nn.SiLU, nn.Conv2d, nn.Sigmoid)
        plain = all(type(child) is kind for child, kind in zip(children, kinds, strict=True))
        if not (_trains_on_cpu(images, *children) and plain):
            return cast(Tensor, super().forward(images))
        parameters = (self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias)
        return cast(Tensor, _SqueezeExcitation.apply(images, *parameters))


class _NormActivation(torch.autograd.Function):
    """BatchNorm by the batch's statistics and perhaps SiLU; keeps the input alone."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, scale: Tensor, shift: Tensor, norm: nn.BatchNorm2d, activates: bool
    ) -> Tensor:
        ctx.eps, ctx.activates = norm.eps, activates
        out, mean, inverse_deviation = torch.native_batch_norm(
            images, scale, shift, norm.running_mean, norm.running_var, True, cast(float, norm.momentum), norm.eps
        )
        ctx.save_for_backward(images, scale, shift, mean, inverse_deviation)
        return functional.silu(out, inplace=True) if activates else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        images, scale, shift, mean, inverse_deviation = ctx.saved_tensors
        if ctx.activates:
            variance = inverse_deviation.pow(-2)
            normed = torch.native_batch_norm(images, scale, shift, mean, variance, False, 0.0, 0.0)[0]
            grad = _aten.silu_backward.grad_input(grad, normed, grad_input=normed)
        grads = _aten.native_batch_norm_backward(
            grad, images, scale, None, None, mean, inverse_deviation, True, ctx.eps, ctx.needs_input_grad[:3]
        )
        return *grads, None, None


class _Convolution(torch.autograd.Function):
    """A 1x1 or depthwise convolution whose gradients are computed in ways that are faster on a CPU."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, conv: nn.Conv2d) -> Tensor:
        ctx.conv = conv
        ctx.save_for_backward(images, weight)
        return functional.conv2d(images, weight, None, conv.stride, conv.padding, groups=conv.groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad[:2]
        if ctx.conv.kernel_size == (1, 1):
            return *_pointwise_backward(grad, images, weight, needed), None
        grad_images = _aten_backward(grad, images, weight, ctx.conv, (True, False))[0] if needed[0] else None
        return grad_images, _depthwise_weight_grad(grad, images, ctx.conv) if needed[1] else None, None


def _convolve(images: Tensor, conv: nn.Module) -> Tensor:
    """Run a convolution, with autograd's own gradients wherever they are as fast as ours."""
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    if channels_last and type(conv) is nn.Conv2d and _has_faster_gradient(conv, images.shape[2]):
        return cast(Tensor, _Convolution.apply(images, conv.weight, conv))
    return cast(Tensor, conv(images))


def _has_faster_gradient(conv: nn.Conv2d, height: int) -> bool:
    kernel_size, stride = conv.kernel_size[0], conv.stride[0]
    geometry = (conv.kernel_size[1], conv.stride[1], conv.padding, conv.dilation, conv.padding_mode, conv.bias)
    if geometry != (kernel_size, stride, 2 * (kernel_size // 2,), (1, 1), "zeros", None):
        return False
    if kernel_size == stride == conv.groups == 1:
        return min(conv.in_channels, conv.out_channels) >= _MIN_MATRIX_CHANNELS
    # oneDNN has no fast weight gradient for a map smaller than the kernel, and a slow one for large kernels.
    is_slow = -(-height // stride) < kernel_size or (kernel_size >= 5 and stride == 1)
    return conv.groups == conv.in_channels == conv.out_channels and is_slow


def _aten_backward(
    grad: Tensor, images: Tensor, weight: Tensor, conv: nn.Conv2d, needed: tuple[bool, bool], padding: int | None = None
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of a convolution's input and weight as autograd computes them."""
    around = conv.padding if padding is None else (padding, padding)
    grads = _aten.convolution_backward(
        grad, images, weight, None, conv.stride, around, conv.dilation, False, (0, 0), conv.groups, [*needed, False]
    )
    return grads[0], grads[1]


def _pointwise_backward(
    grad: Tensor, images: Tensor, weight: Tensor, needed: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """A 1x1 convolution of channels-last images is a product of matrices, pixels by channels."""
    pixels, grad_pixels = (t.permute(0, 2, 3, 1).flatten(0, 2) for t in (images, grad))
    grad_images = grad_weight = None
    if needed[0]:
        size, _, height, width = images.shape
        grad_images = (grad_pixels @ weight.flatten(1)).view(size, height, width, -1).permute(0, 3, 1, 2)
    if needed[1]:
        grad_weight = (grad_pixels.t() @ pixels)[:, :, None, None]
    return grad_images, grad_weight


def _depthwise_weight_grad(grad: Tensor, images: Tensor, conv: nn.Conv2d) -> Tensor:
    """Return a depthwise kernel's gradient, found in strips of a few columns on images padded beforehand."""
    kernel_size, stride, pad = conv.kernel_size[0], conv.stride[0], cast(int, conv.padding[0])
    num_strips = -(-kernel_size // _STRIP_WIDTH)
    height, width = (stride * (side - 1) for side in grad.shape[2:])
    bottom = height + kernel_size - images.shape[2] - pad
    right = width + num_strips * _STRIP_WIDTH - images.shape[3] - pad
    padded = functional.pad(images, (pad, right, pad, bottom))
    shape = grad.new_empty(conv.out_channels, 1, kernel_size, _STRIP_WIDTH)
    strips = []
    for left in range(0, num_strips * _STRIP_WIDTH, _STRIP_WIDTH):
        part = padded[..., left : left + width + _STRIP_WIDTH]
        strips.append(cast(Tensor, _aten_backward(grad, part, shape, conv, (False, True), padding=0)[1]))
    return torch.cat(strips, dim=3)[..., :kernel_size]


class _SqueezeExcitation(torch.autograd.Function):
    """The training pass of `SqueezeExcitation`."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, squeeze: Tensor, squeeze_bias: Tensor, excite: Tensor, excite_bias: Tensor
    ) -> Tensor:
        pooled = functional.adaptive_avg_pool2d(images, 1)
        squeezed = functional.conv2d(pooled, squeeze, squeeze_bias)
        active = functional.silu(squeezed)
        factors = functional.conv2d(active, excite, excite_bias).sigmoid_()
        ctx.save_for_backward(images, squeeze, excite, pooled, squeezed, active, factors)
        return factors * images

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        images, squeeze, excite, pooled, squeezed, active, factors = ctx.saved_tensors
        product = grad * images
        grad_factors = _aten.sigmoid_backward(product.sum((2, 3)), factors.flatten(1))
        grad_active = grad_factors @ excite.flatten(1)
        grad_squeezed = _aten.silu_backward(grad_active, squeezed.flatten(1))
        grad_pooled = (grad_squeezed @ squeeze.flatten(1)).div_(images.shape[2] * images.shape[3])
        # The product's memory is free now; what reaches the images through factor and mean goes there.
        grad_images = torch.addcmul(grad_pooled[:, :, None, None], grad, factors, out=product)
        return (
            grad_images,
            (grad_squeezed.t() @ pooled.flatten(1))[:, :, None, None],
            grad_squeezed.sum(0),
            (grad_factors.t() @ active.flatten(1))[:, :, None, None],
            grad_factors.sum(0),
        )


def _trains_on_cpu(images: Tensor, *children: nn.Module) -> bool:
    """Whether this is an ordinary training pass on the CPU that nobody watches or changes from outside."""
    return (
        not torch.compiler.is_compiling()
        and type(images) is Tensor  # no tracer's stand-in for one
        and torch.is_grad_enabled()
        and images.device.type == "cpu"
        and images.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and torch._C._get_tracing_state() is None
        and not torch._C._are_functorch_transforms_active()
        and not any(_is_hooked(child) for child in children)
    )


def _is_hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _is_plain_norm(norm: nn.Module, *activation: nn.Module) -> bool:
    """Whether this is a BatchNorm as it was built, in the state in which it trains, before a SiLU or nothing."""
    return (
        type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and len(activation) <= 1
        and all(type(module) is nn.SiLU for module in activation)
    )
