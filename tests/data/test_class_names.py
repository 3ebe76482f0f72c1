"""Classes by name, where data and network have orders of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.data.class_names import label_map

names = st.lists(st.text(max_size=5), min_size=1, max_size=8, unique=True)


@given(names.flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))))
def test_every_label_gets_the_output_of_its_name(pair):
    data, network = pair
    assert [network[index] for index in label_map(data, network)] == data


@given(names, names)
def test_other_names_are_one_line(data, network):
    if {*data} == {*network}:
        return
    with pytest.raises(InvalidInputError, match="`classes of the data` must be those of the weights") as caught:
        label_map(data, network)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("data", "network", "message"),
    [
        ("abc", "ab", "got 3 in the data, 2 in the weights; only the data have 'c'. Name"),
        ("ab", "abc", "got 2 in the data, 3 in the weights; only the weights have 'c'. Name"),
        ("ab", "aab", "got 2 in the data, 3 in the weights; two have one name. Name"),
        ("baa", "aab", "got 3 in the data, 3 in the weights; two have one name. Name"),
        ("a", "bcdefgh", "only the weights have 'b', 'c', 'd', 'e', 'f' and 2 more. Name"),
    ],
)
def test_what_differs_is_said(data, network, message):
    with pytest.raises(InvalidInputError) as caught:
        label_map(data, network)
    assert message in str(caught.value)


def test_equal_lists_are_themselves_even_if_a_name_comes_twice():
    assert label_map(["a", "a"], ("a", "a")).tolist() == [0, 1]
