"""Phases of a schedule: what each stage's batches are like."""

from dataclasses import replace

import pytest
import torch

from nas.data import Dataset
from nas.errors import InvalidInputError
from nas.models import build_model
from nas.training.batches import TrainingBatches
from nas.training.loop import Trainer, normaliser, run
from nas.training.phases import make_phases
from nas.training.recipe import Recipe
from nas.training.schedule import ProgressiveSchedule, Stage

RECIPE = Recipe(batch_size=50)


def taken(dataset, *stages, recipe=RECIPE, seed=0):
    """Return the first batch of each stage, an epoch each."""
    share = 1 / len(stages)
    schedule = ProgressiveSchedule(tuple(replace(stage, share=share) for stage in stages))
    batches = TrainingBatches(dataset.train, make_phases(schedule, len(stages), recipe, dataset), seed)
    return [batch for batch in batches if batches.epoch_step == 1]


def test_each_stage_has_its_size_and_its_batch(dataset):
    small, large = taken(dataset, Stage(8, batch_size=80), Stage(16))
    assert small[0].shape == (80, 1, 8, 8)
    assert large[0].shape == (50, 1, 16, 16)
    assert small[1].dtype == large[1].dtype == torch.int64


def test_images_that_are_decoded_for_a_stage_have_its_pixels_or_a_crop_of_the_middle_area_has(dataset):
    schedule = ProgressiveSchedule((Stage(8, share=0.5), Stage(16, share=0.5)))
    for recipe, sizes in (
        (RECIPE, [8, 16]),
        (replace(RECIPE, crop_area=0.28), [10, 20]),
        (replace(RECIPE, crop_area=1.0), [8, 16]),
    ):
        assert [phase.image_size for phase in make_phases(schedule, 2, recipe, dataset)] == sizes


def test_without_augmentation_a_batch_is_the_images_themselves(dataset):
    ((inputs, _),) = taken(dataset, Stage(16), recipe=replace(RECIPE, flip=False, shift=0))
    known = {image.numpy().tobytes() for image in normaliser(dataset)(dataset.train.images)}
    assert {image.numpy().tobytes() for image in inputs} <= known


@pytest.mark.parametrize(
    "stage",
    [
        Stage(16, randaugment_magnitude=9),
        Stage(16, random_erasing=0.9),
        Stage(16, mixup_alpha=0.5),
        Stage(16, cutmix_alpha=0.5),
        Stage(12, randaugment_magnitude=5, mixup_alpha=0.3, cutmix_alpha=0.3, random_erasing=0.2),
    ],
)
def test_strengths_change_images_and_depend_on_the_seed_alone(dataset, stage):
    recipe = replace(RECIPE, flip=False, shift=0)
    ((plain, labels),) = taken(dataset, Stage(stage.image_size), recipe=recipe)
    torch.manual_seed(7)
    ((inputs, targets),) = taken(dataset, stage, recipe=recipe)
    torch.manual_seed(8)
    ((again, _),) = taken(dataset, stage, recipe=recipe)
    assert inputs.shape == plain.shape
    assert torch.equal(inputs, again)
    assert (inputs != plain).flatten(1).any(1).float().mean() > 0.5
    if stage.mixup_alpha or stage.cutmix_alpha:
        assert targets.shape == (50, 2)
        assert torch.allclose(targets.sum(1), torch.ones(50))
    else:
        assert torch.equal(targets, labels)


def test_crops_of_photographs_have_the_stage_s_size(dataset):
    recipe = replace(RECIPE, crop_area=0.3)
    ((inputs, _),) = taken(dataset, Stage(12), recipe=recipe)
    assert inputs.shape == (50, 1, 12, 12)


def test_where_labels_would_not_survive_resizing_images_are_cut(dataset):
    cut = Dataset(dataset.name, dataset.train, dataset.val, dataset.class_names, "", 0, cropped=True)
    ((inputs, _),) = taken(cut, Stage(8), recipe=replace(RECIPE, flip=False, shift=0))
    windows = normaliser(dataset)(dataset.train.images).unfold(2, 8, 1).unfold(3, 8, 1)
    known = {window.contiguous().numpy().tobytes() for window in windows.reshape(-1, 8, 8)}
    assert all(image.contiguous().numpy().tobytes() in known for image in inputs)


@pytest.mark.parametrize(("optimizer", "factor"), [("sgd", 2), ("rmsprop", 2), ("adamw", 2**0.5)])
def test_a_network_is_regularised_and_learns_at_the_rate_of_the_stage(dataset, spec, optimizer, factor):
    recipe = replace(RECIPE, optimizer=optimizer)
    trainer = Trainer(build_model(spec, num_classes=2, in_channels=1), recipe, torch.device("cpu"))
    stages = (Stage(8, 0.5, batch_size=100, dropout=0.05, stochastic_depth=0.1), Stage(16, 0.5, dropout=0.25))
    batches = TrainingBatches(dataset.train, make_phases(ProgressiveSchedule(stages), 2, recipe, dataset), 0)
    seen = []

    def look(step, _):
        depths = {block.stochastic_depth.p for block in trainer.model.modules() if hasattr(block, "stochastic_depth")}
        rate = trainer.optimizer.param_groups[0]["lr"]
        seen.append((batches.image_size, trainer.model.classifier[0].p, max(depths), rate))

    run(trainer, batches, look)
    assert [size for size, *_ in seen] == [8] * 2 + [16] * 5  # 256 images
    assert [dropout for _, dropout, _, _ in seen] == [0.05] * 2 + [0.25] * 5
    assert 0 < seen[0][2] <= 0.1 < seen[-1][2] <= spec.stochastic_depth
    # Half of the schedule is over after two steps of a hundred images, whose rate is that of a larger batch.
    assert [rate for *_, rate in seen] == pytest.approx(
        [factor * recipe.rate(position, 7, 2) for position in (0, 1.75)]
        + [recipe.rate(3.5 + 0.7 * i, 7, 2) for i in range(5)]
    )


def test_more_stages_than_epochs_are_refused(dataset):
    with pytest.raises(InvalidInputError, match="`epochs` must be at least 4, one a stage, got 3"):
        make_phases(ProgressiveSchedule.scaled(16, first_image_size=8), 3, RECIPE, dataset)
