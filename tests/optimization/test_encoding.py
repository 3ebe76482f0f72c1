import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.complexity import complexity
from nas.optimization.encoding import Encoding, encoding_of
from tests.synthetic import small_space

SPACE = small_space()
ENCODING = Encoding(SPACE)

candidates = st.lists(
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in SPACE.choices.items()}), max_size=5
)


@given(candidates)
def test_codes_stand_for_parameters(drawn):
    codes = ENCODING.codes(drawn)
    assert codes.shape == (len(drawn), len(SPACE.choices))
    assert [ENCODING.params(code) for code in codes] == drawn


@given(candidates)
def test_one_hot_has_a_one_for_every_choice_and_shared_ones_for_shared_values(drawn):
    rows = ENCODING.one_hot(ENCODING.codes(drawn))
    shared = [[sum(first[name] == second[name] for name in first) for second in drawn] for first in drawn]
    assert set(np.unique(rows)) <= {0.0, 1.0}
    assert (rows @ rows.T).tolist() == shared


@given(candidates)
def test_costs_and_bounds_are_those_of_the_network(drawn):
    codes = ENCODING.codes(drawn)
    specs = [SPACE.decode(params) for params in drawn]
    costs = [complexity(spec, num_classes=10, in_channels=3) for spec in specs]
    assert ENCODING.costs(codes).tolist() == [[c.num_params, c.num_macs, c.num_activations] for c in costs]
    assert ENCODING.inside(codes).tolist() == [SPACE.excess(spec) <= 0 for spec in specs]


def test_what_is_no_choice_of_the_space_is_an_error():
    with pytest.raises(KeyError):
        ENCODING.codes([dict.fromkeys(SPACE.choices, "nothing")])


def test_a_space_has_one_encoding():
    assert encoding_of(SPACE) is encoding_of(SPACE)
    assert encoding_of(SPACE) is not encoding_of(small_space())
