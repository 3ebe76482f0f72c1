"""Batches and generators for tests of augmentation."""

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(num_images: int = 8, channels: int = 3, height: int = 20, width: int = 26, seed: int = 9) -> Tensor:
    """Bytes of every value."""
    return torch.randint(0, 256, (num_images, channels, height, width), dtype=torch.uint8, generator=generator(seed))


def scenes(num_images: int = 8, channels: int = 3, height: int = 20, width: int = 26, seed: int = 9) -> Tensor:
    """Smooth images of a part of the values, as photographs have, each channel with its own."""
    coarse = torch.rand((num_images, channels, 4, 4), generator=generator(seed))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    low, high = torch.rand((2, num_images, channels, 1, 1), generator=generator(seed + 1)).sort(0).values * 255
    return (low + smooth * (high - low)).to(torch.uint8)


def flat(value: int = 77) -> Tensor:
    return torch.full((2, 3, 5, 7), value, dtype=torch.uint8)


def to_pillow(image: Tensor) -> Image.Image:
    return Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy())


def from_pillow(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


@st.composite
def batches(draw: st.DrawFn) -> Tensor:
    """Bytes of any small size, grey or coloured, one image or several."""
    shape = (draw(st.integers(1, 5)), draw(st.sampled_from([1, 3])), draw(st.integers(1, 13)), draw(st.integers(1, 13)))
    make = draw(st.sampled_from([noise, scenes]))
    return make(*shape, seed=draw(st.integers(0, 99)))
