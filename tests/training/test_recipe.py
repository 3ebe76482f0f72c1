import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.training.recipe import Recipe

recipes = st.builds(
    Recipe,
    learning_rate=st.floats(1e-6, 10),
    warmup_fraction=st.floats(0, 0.99),
    decay=st.sampled_from(["cosine", "linear"]),
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
    assert recipe.rate(num_steps - 1, num_steps) <= recipe.learning_rate * 1.01 / decay_steps
    assert max(recipe.rate(step, num_steps) for step in range(num_steps)) >= 0.8 * recipe.learning_rate


def test_a_linear_decay_without_warm_up_by_hand():
    recipe = Recipe(learning_rate=1.0, warmup_fraction=0.0, decay="linear")
    assert [recipe.rate(step, 4) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("bad", ["batch_size=1", "learning_rate=0", "learning_rate=nan", "warmup_fraction=1"])
def test_numbers_that_cannot_train_are_refused(bad):
    name, _, value = bad.partition("=")
    with pytest.raises(InvalidInputError, match=f"`{name}` must be"):
        Recipe(**{name: float(value)})
