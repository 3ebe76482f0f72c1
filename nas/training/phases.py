"""The phases of a training, from its schedule: what each stage does to images, and how strongly it regularises."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nas.data.augmentation import mix, rand_augment, random_erasing, random_resized_crop
from nas.data.batches import augment, random_crop
from nas.data.dataset import Dataset
from nas.training.batches import Phase
from nas.training.loop import Normalise, normaliser
from nas.training.recipe import Recipe
from nas.training.schedule import ProgressiveSchedule, Stage


def make_phases(schedule: ProgressiveSchedule, num_epochs: int, recipe: Recipe, dataset: Dataset) -> tuple[Phase, ...]:
    """Return what `TrainingBatches` goes through.

    Args:
        schedule: Stages; images of the data set are resized to theirs.
        num_epochs: In all.
        recipe: Gives the batch size where a stage has none, flips, and shifts or crops.
        dataset: At the size of the largest stage, or larger.

    Raises:
        InvalidInputError: If there are fewer epochs than stages.
    """
    return tuple(
        Phase(
            epochs,
            stage.batch_size or recipe.batch_size,
            _Maker(stage, recipe, normaliser(dataset, stage.image_size), dataset.num_classes, dataset.cropped),
            dropout=stage.dropout,
            stochastic_depth=stage.stochastic_depth,
            image_size=_needed_size(stage, recipe),
        )
        for stage, epochs in zip(schedule, schedule.num_epochs(num_epochs), strict=True)
    )


def _needed_size(stage: Stage, recipe: Recipe) -> int:
    """Return the sides of images of which crops have the stage's pixels in the mean; the stage's own without crops."""
    if recipe.crop_area is None:
        return stage.image_size
    return math.ceil(stage.image_size / math.sqrt((recipe.crop_area + 1) / 2))


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the batches of a stage: a `MakeBatch`."""

    stage: Stage
    recipe: Recipe
    normalise: Normalise
    num_classes: int
    cropped: bool

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        stage = self.stage
        images = self._sized(images, generator)
        if stage.randaugment_magnitude > 0:
            # At the stage's size: it is cheaper there, and shifts and holes are in proportion to it.
            images = rand_augment(_resized(images, stage.image_size), stage.randaugment_magnitude, generator)
        inputs = self.normalise(images)
        if stage.random_erasing > 0:
            inputs = random_erasing(inputs, generator, stage.random_erasing)
        if stage.mixup_alpha == stage.cutmix_alpha == 0:
            return inputs, labels
        alphas = {"mixup_alpha": stage.mixup_alpha, "cutmix_alpha": stage.cutmix_alpha}
        return mix(inputs, labels, self.num_classes, generator, **alphas)

    def _sized(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Flip, and shift or crop; the stage's size is reached by what follows, unless only a crop may reach it."""
        recipe, size = self.recipe, self.stage.image_size
        if recipe.crop_area is not None:
            images = augment(images, generator, flip=recipe.flip, shift=0)
            return random_resized_crop(images, size, generator, scale=(recipe.crop_area, 1.0))
        if self.cropped:  # Resizing would change what the label says.
            return augment(random_crop(images, size, generator), generator, flip=recipe.flip, shift=0)
        return augment(images, generator, flip=recipe.flip, shift=recipe.shift)


def _resized(images: Tensor, size: int) -> Tensor:
    """Return bytes of a size, bilinear with a low-pass filter."""
    if images.shape[-1] == size:
        return images
    resized = functional.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)
