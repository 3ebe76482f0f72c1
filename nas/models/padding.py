"""TensorFlow's "same" padding, which depends on the image's size."""

from torch import Tensor, nn
from torch.nn import functional


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int, groups: int, *, same: bool
) -> nn.Conv2d:
    """Return a convolution without bias that maps sides of n pixels to ceil(n / stride), however it pads."""
    # With stride 1, or a kernel of one pixel, both paddings are equal, and the plain convolution is faster.
    cls = SamePaddingConv2d if same and stride > 1 and kernel_size > 1 else nn.Conv2d
    padding = (kernel_size - 1) // 2
    return cls(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)


class SamePaddingConv2d(nn.Conv2d):
    """A convolution with an odd kernel and stride 2 that pads as TensorFlow does.

    The output has ceil(n / 2) pixels a side for n of the input. What is missing for that is padded, half of it before
    and half behind, with the odd pixel behind: kernel_size - 1 pixels where n is odd, as in the symmetric convolution,
    and one less where n is even.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (as PyTorch names it)
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2))."""
        height, width = input.shape[-2:]
        if height % 2 and width % 2:
            return super().forward(input)
        full = self.kernel_size[0] - 1
        before_y, before_x = ((full - 1 + side % 2) // 2 for side in (height, width))
        padded = functional.pad(input, (before_x, full // 2, before_y, full // 2))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
