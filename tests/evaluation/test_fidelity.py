import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import job_seed

fidelities = st.builds(
    Fidelity, st.integers(1, 10**9), st.integers(1, 10**6), image_size=st.none() | st.integers(8, 4096)
)


@given(fidelities)
def test_text_and_back(fidelity):
    assert Fidelity.parse(str(fidelity)) == fidelity


def test_by_hand():
    assert Fidelity.parse("8000x3") == Fidelity(8000, 3)
    assert Fidelity.parse("8000x3@40") == Fidelity(8000, 3, 40)
    assert Fidelity(8000, 3, 40).images_seen == 24_000


@pytest.mark.parametrize(
    "text", ["", "8000", "x3", "8000x", "8000*3", "8000x3@", "8000x3@40 ", "-8x3", "8e3x3", "1.5x2"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(InvalidInputError, match="`fidelity` must be IMAGESxEPOCHS"):
        Fidelity.parse(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [("0x3", "train_images"), ("8000x0", "epochs"), ("8000x3@7", "image_size"), ("1x1@0", "image_size")],
)
def test_numbers_that_are_no_training_are_refused(text, name):
    with pytest.raises(InvalidInputError, match=f"`{name}` must be at least"):
        Fidelity.parse(text)


@given(st.integers(0, 2**32 - 1), fidelities)
def test_a_jobs_seed_is_a_seed(seed, fidelity):
    found = job_seed(seed, fidelity)
    assert 0 <= found < 2**31
    assert found == job_seed(seed, fidelity)
    assert found != job_seed(seed + 1, fidelity)
    assert found != job_seed(seed, fidelity, "0123456789abcdef")
