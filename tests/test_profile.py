"""`python -m nas.profile`, on networks that take moments."""

import json
from dataclasses import replace

import pytest

from nas import InvalidInputError
from nas.config import ProfileSettings
from nas.evaluation.design import balanced_networks
from nas.evaluation.device_profile import DeviceProfile, DeviceTimings
from nas.profile import main, profile
from tests.running import exit_code
from tests.stripes import space

NUM_NETWORKS = 20


def settings(out, **changes):
    known = {"space": "tests.stripes:space", "networks": NUM_NETWORKS, "batch_size": 8, "device": "cpu", "out": out}
    return ProfileSettings(**(known | changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("devices") / "new" / "here.json"
    profile(settings(path))
    return path


def test_the_file_says_what_was_timed_and_how(finished):
    plain = json.loads(finished.read_text())
    found = DeviceProfile.load(finished)
    assert plain["format"] == "nas.device/1"
    assert plain["leave_one_out_error"] == found.predictor.error > 0
    assert [timing.spec for timing in found.measured.timings] == balanced_networks(space, NUM_NETWORKS)
    assert all(timing.step_time_s > 0 for timing in found.measured.timings)
    assert found.measured.device_name
    assert found.measured.reference == space.reference
    assert found.predictor.shape.batch_size == 8
    assert [path.name for path in finished.parent.iterdir()] == [finished.name]


def test_the_same_command_goes_on_where_it_was_interrupted(finished, tmp_path, capsys):
    before, out = DeviceProfile.load(finished).measured, tmp_path / "out.json"
    replace(before, timings=before.timings[:17]).save(tmp_path / "out.json.partial")
    arguments = ["--space", "tests.stripes:space", "--networks", NUM_NETWORKS, "--batch-size", 8, "--device", "cpu"]
    assert exit_code(main, [*arguments, "--out", out, "--json"]) == 0
    found, said = DeviceProfile.load(out), json.loads(capsys.readouterr().out)
    assert said == {
        "profile": str(out),
        "device_name": before.device_name,
        "num_networks": NUM_NETWORKS,
        "timing_error_fraction": found.predictor.error,
    }
    assert found.measured.timings[:17] == before.timings[:17]
    assert [t.spec for t in found.measured.timings] == [t.spec for t in before.timings]
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_what_was_begun_otherwise_is_not_mixed_in(finished, tmp_path):
    partial = tmp_path / "out.json.partial"
    replace(DeviceProfile.load(finished).measured, dtype="bfloat16").save(partial)
    before = partial.read_bytes()
    with pytest.raises(InvalidInputError, match="as when the profile was begun"):
        profile(settings(tmp_path / "out.json"))
    assert partial.read_bytes() == before
    assert len(DeviceTimings.load(partial).timings) == NUM_NETWORKS
    with pytest.raises(InvalidInputError, match="`device file` must be complete"):
        DeviceProfile.load(partial)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--networks", "5"), "`networks` must be at least 20"),
        (("--space", "nowhere"), "`space` must be"),
        (("--device", "nowhere"), "`device` must be"),
        (("--batch-size", "1"), "`batch_size` must be at least 2"),
        (("--space", "tests.stripes:space", "--networks", "1000"), "`networks` must be at most what space stripes has"),
    ],
)
def test_bad_input_is_told_and_nothing_written(arguments, message, tmp_path, capsys):
    assert exit_code(main, ["--out", tmp_path / "a" / "out.json", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_finished_file_is_not_overwritten(finished, capsys):
    before = finished.read_bytes()
    assert exit_code(main, ["--out", finished]) == 2
    assert "`out` must be a new file" in capsys.readouterr().err
    assert finished.read_bytes() == before
