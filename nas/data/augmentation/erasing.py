"""Holes of noise in images that are normalised."""

import torch
from torch import Tensor

from nas.data.augmentation.rectangles import around, draw_rectangles
from nas.errors import invalid


def random_erasing(
    images: Tensor,
    generator: torch.Generator,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: tuple[float, float] = (0.3, 3.3),
) -> Tensor:
    """Fill a rectangle of some images with noise.

    Random erasing (Zhong et al. 2020), with a random value for each pixel and channel, which is what that paper found
    best; here normal ones, of mean 0 and standard deviation 1 as the images have. The logarithm of the aspect is evenly
    drawn, so that tall and wide are equally likely. A rectangle that does not fit is drawn again.

    Args:
        images: Normalised floats (N, C, H, W), on any device.
        generator: Source of the draws, on the CPU; it gives the same holes and noise on every device.
        probability: Of an image to be erased; 0 is off and draws nothing.
        area: Least and greatest area, as shares of the image's.
        aspect: Least and greatest width over height.

    Returns:
        The new images, of the same shape and type.
    """
    _check_floats(images)
    if not 0 <= probability <= 1:
        raise invalid("probability", "between 0 and 1", probability, "0 is off.")
    if not 0 < area[0] <= area[1] <= 1:
        raise invalid("area", "two shares of the area, 0 < least <= greatest <= 1", area, "Try (0.02, 0.33).")
    if not 0 < aspect[0] <= aspect[1]:
        raise invalid("aspect", "two ratios, 0 < least <= greatest", aspect, "Try (0.3, 3.3).")
    if probability == 0:
        return images
    num_images, _, height, width = images.shape
    erased = torch.rand(num_images, generator=generator) < probability
    holes = draw_rectangles(num_images, height, width, generator, area=area, ratio=aspect)
    mask = holes.mask(height, width) & erased[:, None, None, None]
    return _fill(images, mask, torch.randn(_num_values(images, mask), generator=generator))


def noise_cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Fill a square of each image, up to half as wide as the image, with noise: EfficientNetV2's fine-tuning cutout.

    As in its released code: a quarter of the side to each side of a pixel drawn evenly, so cut off at the edges, and
    noise even between 0 and 1, which after its normalisation to -1 to 1 is the lighter half.

    Args:
        images: Normalised floats (N, C, H, W), on any device.
        generator: Source of the draws, on the CPU; it gives the same holes and noise on every device.

    Returns:
        The new images, of the same shape and type.
    """
    _check_floats(images)
    num_images, _, height, width = images.shape
    row = torch.randint(height, (num_images,), generator=generator)
    column = torch.randint(width, (num_images,), generator=generator)
    half_width = torch.full_like(row, min(height, width) // 4)
    holes = around(row, column, half_width, half_width)
    mask = holes.mask(height, width)
    return _fill(images, mask, torch.rand(_num_values(images, mask), generator=generator))


def _num_values(images: Tensor, mask: Tensor) -> int:
    return int(mask.sum()) * images.shape[1]


def _fill(images: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
    """Put the noise where the mask is true, in the order (N, C, H, W); the layout stays, as only a clone keeps it."""
    return images.clone().masked_scatter_(mask.to(images.device), noise.to(images.device, images.dtype))


def _check_floats(images: Tensor) -> None:
    if not images.is_floating_point() or images.ndim != 4:
        found = f"{images.dtype} {tuple(images.shape)}"
        raise invalid("images", "normalised floats (N, C, H, W)", found, "Erase after normalising.")
