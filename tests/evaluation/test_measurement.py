import json
from dataclasses import MISSING, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.evaluation.measurement import Measurement
from nas.results import load
from tests.running import ROOT
from tests.synthetic import measure, small_space

PLAIN = measure(small_space().reference, small_space().reference).to_dict()
LATER = [field.name for field in fields(Measurement) if field.default is not MISSING]


@given(st.sets(st.sampled_from(LATER)))
def test_what_came_later_may_be_missing(missing):
    plain = {name: value for name, value in PLAIN.items() if name not in missing}
    assert Measurement.from_dict(json.loads(json.dumps(plain))) == Measurement(**plain)


@given(st.sampled_from(sorted(set(PLAIN) - set(LATER))))
def test_what_was_always_there_must_be(missing):
    with pytest.raises(InvalidInputError, match=f"`measurement` must be one of this version.*{missing}"):
        Measurement.from_dict({name: value for name, value in PLAIN.items() if name != missing})


def test_what_is_not_known_is_refused():
    with pytest.raises(InvalidInputError, match="step_time_ms"):
        Measurement.from_dict({**PLAIN, "step_time_ms": 3.0})


def test_every_time_ends_in_its_unit():
    names = [field.name for field in fields(Measurement)]
    times = [name for name in names if "time" in name and not name.startswith("relative_")]
    assert times
    assert all(name.endswith("_s") for name in times)


def test_a_run_from_before_still_reads():
    trials = load(ROOT / "results" / "fashion_hard_200").trials
    assert (trials["state"] == "measured").sum() == 200
    assert trials["step_time_low_s"].isna().all()
    assert trials["exclusive"].isna().all()
