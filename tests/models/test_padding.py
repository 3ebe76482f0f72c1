"""TensorFlow's rule, written down once more in its own terms: ceil(n / s) outputs, the odd pixel of padding behind."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from nas.models.padding import SamePaddingConv2d, convolution


def tensorflow(conv: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
    pads = []
    for side in (images.shape[3], images.shape[2]):
        total = max((math.ceil(side / conv.stride[0]) - 1) * conv.stride[0] + conv.kernel_size[0] - side, 0)
        pads += [total // 2, total - total // 2]
    return functional.conv2d(functional.pad(images, pads), conv.weight, None, conv.stride, 0, 1, conv.groups)


@settings(deadline=None)
@given(
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 4]),
    st.integers(1, 14),
    st.integers(1, 14),
)
def test_same_padding_is_tensorflows(kernel_size, stride, groups, height, width):
    conv = convolution(4, 8, kernel_size, stride, groups, same=True)
    images = torch.randn(2, 4, height, width)
    out = conv(images)
    assert out.shape == (2, 8, math.ceil(height / stride), math.ceil(width / stride))
    assert torch.allclose(out, tensorflow(conv, images), atol=1e-5)


@pytest.mark.parametrize(("size", "equal"), [(9, True), (8, False)])
def test_paddings_differ_at_even_sizes_only(size, equal):
    same, symmetric = (convolution(3, 4, 3, 2, 1, same=same) for same in (True, False))
    symmetric.load_state_dict(same.state_dict())
    images = torch.randn(1, 3, size, size)
    assert torch.equal(same(images), symmetric(images)) == equal


def test_the_first_window_of_an_even_side_begins_at_its_first_pixel():
    conv = convolution(1, 1, 3, 2, 1, same=True)
    nn.init.ones_(conv.weight)
    assert conv(torch.ones(1, 1, 4, 4)).tolist() == [[[[9, 6], [6, 4]]]]


def test_convolutions_that_both_paddings_agree_on_are_plain():
    kinds = {
        (kernel_size, stride): type(convolution(2, 2, kernel_size, stride, 1, same=True))
        for kernel_size in (1, 3)
        for stride in (1, 2)
    }
    assert [key for key, kind in kinds.items() if kind is SamePaddingConv2d] == [(3, 2)]
