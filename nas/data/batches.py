"""Training batches, made on the device that holds the images."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nas.errors import invalid


def epoch_order(num_images: int, generator: torch.Generator) -> Tensor:
    """Return the indices of all images in a random order, int64 (num_images,), on the generator's device."""
    return torch.randperm(num_images, generator=generator, device=generator.device)


def augment(images: Tensor, generator: torch.Generator, *, flip: bool, shift: int) -> Tensor:
    """Mirror and shift each image at random, each on its own.

    A shift is a crop of the image padded by reflection, as is usual on CIFAR (He et al. 2016, section 4.2, with zeros).
    Draws are made on the generator's device: one on the CPU gives the same batches on every device.

    Args:
        images: (N, C, H, W), of any type.
        generator: Source of the draws.
        flip: Mirror left and right with probability one half.
        shift: Most pixels to shift in each direction, evenly drawn; less than the image's sides. 0 is off.

    Returns:
        The new images, of the same shape and type.
    """
    num_images, _, height, width = images.shape
    if not 0 <= shift < min(height, width):
        raise invalid("shift", f"between 0 and {min(height, width) - 1}", shift, "Shift by fewer pixels.")
    if not flip and not shift:
        return images
    device = images.device
    rows = torch.arange(height, device=device).expand(num_images, height)
    columns = torch.arange(width, device=device).expand(num_images, width)
    if shift:
        draws = torch.randint(-shift, shift + 1, (2, num_images, 1), generator=generator, device=generator.device)
        down, right = draws.to(device)
        rows, columns = _reflect(rows + down, height), _reflect(columns + right, width)
    if flip:
        mirrored = torch.rand((num_images, 1), generator=generator, device=generator.device) < 0.5
        columns = torch.where(mirrored.to(device), width - 1 - columns, columns)
    return _taken(images, rows, columns)


def random_crop(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Cut a square out of each image, at a place of its own; nothing is resized.

    Args:
        images: (N, C, H, W), of any type.
        size: Pixels a side, at most those of the images; an image that is no larger is returned as it is.
        generator: Source of the draws, on the CPU.
    """
    num_images, _, height, width = images.shape
    if not 1 <= size <= min(height, width):
        raise invalid("size", f"from 1 to {min(height, width)}", size, "A crop is a part of an image.")
    if (height, width) == (size, size):
        return images
    device, span = images.device, torch.arange(size, device=images.device)
    top = torch.randint(height - size + 1, (num_images, 1), generator=generator, device=generator.device).to(device)
    left = torch.randint(width - size + 1, (num_images, 1), generator=generator, device=generator.device).to(device)
    return _taken(images, top + span, left + span)


def _taken(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the pixels of each image, (N, C, H, W), in rows and columns of its own, int64 (N, h) and (N, w)."""
    num_images, channels, _, width = images.shape
    pixels = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    found = images.flatten(2).gather(2, pixels[:, None].expand(-1, channels, -1))
    return found.view(num_images, channels, rows.shape[1], columns.shape[1])


def _reflect(index: Tensor, size: int) -> Tensor:
    """Map indices up to one size outside back inside, mirrored at the first and the last."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def prepare(
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.channels_last,
    image_size: int | None = None,
) -> Tensor:
    """Turn bytes into what a network reads: normalised per channel, resized where the size differs.

    Args:
        images: uint8 (N, C, H, W).
        mean: Mean of each channel, from 0 to 1.
        std: Standard deviation of each channel, on the same scale.
        dtype: Type of the result; the arithmetic is float32.
        memory_format: Layout of the result.
        image_size: Pixels a side of the result, bilinear, low-pass filtered where smaller; None leaves the size.

    Returns:
        (N, C, image_size, image_size), with mean 0 and standard deviation 1 over the images that the moments are of.
    """
    centre = torch.tensor(mean, device=images.device).view(1, -1, 1, 1) * 255
    spread = torch.tensor(std, device=images.device).view(1, -1, 1, 1) * 255
    values = images.to(torch.float32, memory_format=memory_format)
    if image_size is not None and (image_size, image_size) != images.shape[2:]:
        values = functional.interpolate(values, size=(image_size, image_size), mode="bilinear", antialias=True)
    return values.sub_(centre).div_(spread).to(dtype=dtype, memory_format=memory_format)
