import json
import math
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given

from nas import InvalidInputError
from nas.models import IMPLEMENTATIONS, BuildOptions, get_options
from tests.strategies import build_options


@given(build_options())
def test_options_survive_json(options):
    assert BuildOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options


def test_what_is_missing_has_its_default():
    assert BuildOptions.from_dict({}) == BuildOptions()
    assert BuildOptions.from_dict({"norm_eps": 1}) == BuildOptions(norm_eps=1.0)


def test_the_implementations_differ_where_the_facts_say():
    found = {name: (o.padding, o.norm_eps, o.norm_momentum, o.init) for name, o in IMPLEMENTATIONS.items()}
    assert found == {
        "google": ("same", 1e-3, 0.1, "google"),
        "paper": ("same", 1e-3, 0.01, "google"),
        "torchvision": ("symmetric", 1e-3, 0.1, "torchvision"),
        "timm": ("symmetric", 1e-5, 0.1, "google"),
        "timm_tf": ("same", 1e-3, 0.1, "google"),
    }
    assert all(get_options(name) is options for name, options in IMPLEMENTATIONS.items())


@pytest.mark.parametrize("name", ["padding", "init"])
@pytest.mark.parametrize("value", ["sam", "", None, 1, []])
def test_choices_are_checked(name, value):
    with pytest.raises(InvalidInputError, match=f"`{name}` must be "):
        BuildOptions(**{name: value})


@pytest.mark.parametrize("name", ["norm_eps", "norm_momentum"])
@pytest.mark.parametrize("value", [0, -1e-3, 1.5, math.nan, math.inf, True, "0.1", None, 10**400], ids=range(9))
def test_numbers_are_checked(name, value):
    with pytest.raises(InvalidInputError, match=f"`{name}` must be a number above 0, at most 1"):
        BuildOptions(**{name: value})


def test_suggestions():
    with pytest.raises(InvalidInputError, match="Did you mean 'same'"):
        BuildOptions(padding="sames")
    with pytest.raises(InvalidInputError, match="Did you mean 'torchvision'"):
        get_options("torch_vision")
    with pytest.raises(InvalidInputError, match="Choose one of: google"):
        get_options(None)
    with pytest.raises(InvalidInputError, match="Did you mean 'padding'"):
        BuildOptions.from_dict({"pading": "same"})
    with pytest.raises(InvalidInputError, match="must be a JSON object"):
        BuildOptions.from_dict([])


def test_options_do_not_change():
    with pytest.raises(FrozenInstanceError):
        BuildOptions().padding = "same"
