"""A search that aims at a device that is not here: real candidates, step times from the device's file."""

import json

import pandas as pd
import pytest

from nas import InvalidInputError
from nas.evaluation.design import balanced_networks
from nas.evaluation.device_profile import DeviceProfile, DeviceTimings, TimedNetwork
from nas.evaluation.measurement import Measurement
from nas.evaluation.step_features import StepShape
from nas.search import main
from tests.evaluation.timings import seconds
from tests.running import exit_code
from tests.stripes import space, write_stripes

SHAPE = StepShape(batch_size=128, num_classes=10, in_channels=3)


def device(name="Far 9000", number=24):
    """Return the profile of a device where steps take what tests.evaluation.timings says."""
    base = seconds(space.reference, SHAPE)
    timed = []
    for index, spec in enumerate(balanced_networks(space, number)):
        time = seconds(spec, SHAPE) * (1.03 if index % 2 else 0.97)
        timed.append(TimedNetwork(spec, time, 0.01 * time, time / base, 0.01))
    return DeviceProfile.fit(DeviceTimings(name, "2.14.1", "bfloat16", "eager", SHAPE, space.reference, tuple(timed)))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("devices") / "far.json"
    device().save(path)
    return path


def test_a_file_says_the_same_as_the_profile_that_was_saved(path):
    found, before = DeviceProfile.load(path), device()
    assert found.measured == before.measured
    assert found.reference_step_time_s == before.reference_step_time_s
    for spec in balanced_networks(space, 5):
        fields = found.step_time(spec, space.reference)
        assert fields == before.step_time(spec, space.reference)
        assert set(fields) <= set(Measurement.__dataclass_fields__)
        assert fields["step_time_s"] == pytest.approx(seconds(spec, SHAPE), rel=0.1)
    assert found.step_time(space.reference, space.reference)["relative_step_time"] == 1.0


@pytest.mark.parametrize(
    "damage", [{"format": "nas.arch/1"}, {"measured": {}}, {"predictor": {}}, {"reference_step_time_s": 0}]
)
def test_a_damaged_file_is_refused(path, damage, tmp_path):
    (tmp_path / "bad.json").write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(InvalidInputError):
        DeviceProfile.load(tmp_path / "bad.json")


def test_too_few_timings_make_no_profile():
    with pytest.raises(InvalidInputError, match="`timed networks` must be at least"):
        device(number=5)


def test_a_search_goes_by_the_devices_step_times_and_says_so(path, tmp_path, capsys):
    data, run = write_stripes(tmp_path / "stripes", 150), tmp_path / "run"
    args = ["--space", "tests.stripes:space", "--fidelity", "64x1", "--val-images", 30, "--device", "cpu"]
    args += ["--data", data, "--workers", 0, "--budget", 24, "--max-step-time", 1.5, "--target-device", path]
    assert exit_code(main, [*args, "--out", run]) == 0
    assert "step times predicted on Far 9000 (error" in capsys.readouterr().out
    trials = pd.read_csv(run / "trials.csv")
    assert set(trials["timing_source"]) == {"predicted on Far 9000"}
    assert trials["timing_error_fraction"].between(0.001, 0.3).all()
    assert set(trials["num_timings"]) == {0}
    assert set(trials["step_batch_size"]) == {128}
    assert (trials["relative_step_time"].iloc[20:] <= 1.6).all()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["target_device"] == "Far 9000"
    assert manifest["target_device_digest"] == DeviceProfile.load(path).digest

    assert exit_code(main, ["--resume", run, "--budget", 25]) == 0
    assert len(pd.read_csv(run / "trials.csv")) == 25
    other = tmp_path / "other.json"
    device(number=22).save(other)
    capsys.readouterr()
    assert exit_code(main, ["--resume", run, "--budget", 26, "--target-device", other]) == 2
    assert "content of the file of the device" in capsys.readouterr().err
    assert exit_code(main, [*args[:-1], tmp_path / "missing.json", "--out", tmp_path / "new"]) == 2
    assert "`device file` must be readable" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
