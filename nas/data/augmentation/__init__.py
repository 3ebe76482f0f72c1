"""Augmentation of batches on the device that holds them.

Everything is drawn for each image on its own, by a generator on the CPU, so that a batch is the same on every device,
but for the rounding of floats. In the order of a training step: `random_resized_crop` and `rand_augment` give bytes;
`random_erasing`, `noise_cutout` and `mix` take what `nas.data.batches.prepare` makes of them. Flips and shifts are
`nas.data.batches.augment`.
"""

from nas.data.augmentation.crops import random_resized_crop
from nas.data.augmentation.erasing import noise_cutout, random_erasing
from nas.data.augmentation.mixing import mix
from nas.data.augmentation.randaugment import rand_augment

__all__ = ["mix", "noise_cutout", "rand_augment", "random_erasing", "random_resized_crop"]
