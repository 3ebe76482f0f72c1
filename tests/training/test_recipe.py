import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.training.recipe import RECIPES, Recipe, get_recipe

recipes = st.builds(
    Recipe,
    learning_rate=st.floats(1e-6, 10),
    warmup_fraction=st.floats(0, 0.99),
    decay=st.sampled_from(["cosine", "linear", "trapezoid"]),
)


@given(recipes, st.integers(1, 500))
def test_the_rate_rises_to_the_peak_and_falls_to_nearly_nothing(recipe, num_steps):
    rates = [recipe.rate(step, num_steps) for step in range(num_steps)]
    num_warmup = math.ceil(recipe.warmup_fraction * num_steps)
    assert all(0 < rate <= recipe.learning_rate * (1 + 1e-9) for rate in rates)
    assert rates[:num_warmup] == sorted(rates[:num_warmup])
    assert len(set(rates[:num_warmup])) == num_warmup
    assert rates[num_warmup:] == sorted(rates[num_warmup:], reverse=True)


@given(recipes.filter(lambda recipe: recipe.warmup_fraction <= 0.5), st.integers(20, 500))
def test_a_schedule_ends_near_nothing(recipe, num_steps):
    decay_steps = (1 - recipe.warmup_fraction) * num_steps
    if recipe.decay == "trapezoid":
        decay_steps = min(decay_steps, 0.3 * num_steps)
    assert recipe.rate(num_steps - 1, num_steps) <= recipe.learning_rate * 1.01 / decay_steps
    assert max(recipe.rate(step, num_steps) for step in range(num_steps)) >= 0.8 * recipe.learning_rate


def test_a_linear_decay_without_warm_up_by_hand():
    recipe = Recipe(learning_rate=1.0, warmup_fraction=0.0, decay="linear")
    assert [recipe.rate(step, 4) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_a_trapezoid_by_hand():
    recipe = Recipe(learning_rate=1.0, warmup_fraction=0.2, decay="trapezoid")
    rates = [recipe.rate(step, 10) for step in range(10)]
    assert rates == pytest.approx([1 / 3, 2 / 3, *[1.0] * 6, 2 / 3, 1 / 3])


def test_a_warm_up_in_epochs_is_that_share_of_the_steps():
    by_epochs, by_share = Recipe(warmup_epochs=3, warmup_fraction=0.9), Recipe(warmup_fraction=3 / 12)
    assert [by_epochs.rate(step, 60, 12) for step in range(60)] == [by_share.rate(step, 60) for step in range(60)]


def test_a_constant_rate_stays_after_its_warm_up():
    recipe = Recipe(learning_rate=1.0, warmup_fraction=0.3, decay="constant")
    assert [recipe.rate(step, 10) for step in range(10)] == [0.25, 0.5, 0.75] + [1.0] * 7


def test_steps_down_by_hand():
    """Ten steps an epoch; the warm-up of five epochs takes in two of the steps down."""
    recipe = Recipe(learning_rate=1.0, warmup_epochs=5, decay="exponential", decay_rate=0.5, decay_epochs=2.4)
    rates = [recipe.rate(step, 120, 12) for step in range(120)]
    assert rates[:50] == [(step + 1) / 51 for step in range(50)]
    assert rates[50:] == [0.25] * 22 + [0.125] * 24 + [0.0625] * 24


@given(st.integers(1, 500), st.integers(1, 12), st.integers(1, 40))
def test_steps_down_come_after_whole_epochs_where_they_should(steps_an_epoch, decay_epochs, num_falls):
    recipe = Recipe(learning_rate=1.0, warmup_fraction=0, decay="exponential", decay_epochs=decay_epochs)
    num_epochs = decay_epochs * (num_falls + 1)
    place = num_falls * decay_epochs * steps_an_epoch
    found = [recipe.rate(step, num_epochs * steps_an_epoch, num_epochs) for step in (place - 1, place)]
    assert found == [0.97 ** (num_falls - 1), 0.97**num_falls]


@pytest.mark.parametrize("recipe", [Recipe(warmup_epochs=1), Recipe(decay="exponential")])
def test_a_schedule_in_epochs_needs_their_number(recipe):
    with pytest.raises(InvalidInputError, match="`num_epochs` must be given"):
        recipe.rate(90, 100)


def test_a_warm_up_longer_than_the_training_is_refused():
    with pytest.raises(InvalidInputError, match="`warmup_epochs` must be below the number of epochs, 5"):
        Recipe(warmup_epochs=5).rate(0, 100, 5)


def test_the_rate_of_efficientnet_v2_is_the_published_one():
    """Facts: 0.016 for 256 images, five epochs of warm-up, times 0.97 every 2.4 of 350 epochs, 0.0031 at the end."""
    recipe, num_steps = get_recipe("efficientnet_v2"), 107_336
    assert recipe.learning_rate == 0.016 * 4096 / 256
    a_warm_up = math.ceil(num_steps * 5 / 350)
    assert recipe.rate(a_warm_up - 1, num_steps, 350) == pytest.approx(0.256, rel=1e-3)
    assert recipe.rate(a_warm_up, num_steps, 350) == pytest.approx(0.256 * 0.97**2)
    assert recipe.rate(num_steps - 1, num_steps, 350) == pytest.approx(0.0031, abs=5e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_published_rates_are_in_proportion_to_the_batch(name):
    published = get_recipe(name)
    half = get_recipe(name, batch_size=published.batch_size // 2)
    assert half == replace(published, batch_size=half.batch_size, learning_rate=published.learning_rate / 2)


def test_unknown_recipes_and_batches_are_refused():
    with pytest.raises(InvalidInputError, match=r"`recipe` must be one that was published.*Did you mean 'fine_tune'"):
        get_recipe("finetune")
    with pytest.raises(InvalidInputError, match="`batch_size` must be at least 2"):
        get_recipe("fine_tune", batch_size=0)


def test_a_plain_recipe_does_nothing_beyond_a_plain_step():
    plain = Recipe()
    assert (plain.ema_decay, plain.clip_grad_norm, plain.accumulate, plain.warmup_epochs) == (None, None, 1, None)


@pytest.mark.parametrize(("name", "value"), [("optimizer", "adam"), ("decay", "cosin")])
def test_unknown_names_are_refused(name, value):
    with pytest.raises(InvalidInputError, match=f"`{name}` must be among .*Did you mean"):
        Recipe(**{name: value})


@pytest.mark.parametrize(
    "bad",
    [
        *("batch_size=1", "learning_rate=0", "learning_rate=nan", "warmup_fraction=1", "warmup_epochs=-1"),
        *("warmup_epochs=nan", "decay_rate=0", "decay_rate=1.1", "decay_epochs=0", "ema_decay=0", "ema_decay=1"),
        *("clip_grad_norm=0", "accumulate=0", "accumulate=33"),
    ],
)
def test_numbers_that_cannot_train_are_refused(bad):
    name, _, value = bad.partition("=")
    with pytest.raises(InvalidInputError, match=f"`{name}` must be"):
        Recipe(**{name: float(value)})
