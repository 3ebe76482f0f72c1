import json
from dataclasses import replace

import pytest

from nas.errors import InvalidInputError
from nas.results import Manifest
from tests.results.conftest import describe_run
from tests.synthetic import small_space


@pytest.fixture
def manifest():
    return describe_run(small_space())


def test_json_round_trip(manifest):
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_it_says_what_it_was_made_with(manifest):
    assert manifest.versions["optuna"].startswith("5.")
    assert manifest.hardware["num_cpus"] >= 1
    assert manifest.hardware["device"] == "cpu"
    assert manifest.reference_spec == small_space().reference
    assert manifest.created_utc.endswith("+00:00")
    assert "python" in manifest.command


def test_a_manifest_from_before_target_devices_can_be_read(manifest):
    plain = json.loads(manifest.to_json())
    del plain["target_device"], plain["target_device_digest"]
    assert Manifest.from_json(json.dumps(plain)) == manifest


def change(plain, key, value):
    plain[key] = value


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda p: change(p, "kind", "nas.run/2"), "kind"),
        (lambda p: change(p, "sead", 1), "Did you mean 'seed'"),
        (lambda p: p.pop("seed"), "seed"),
        (lambda p: change(p, "seed", "1"), "of type int"),
        (lambda p: change(p, "seed", True), "of type int"),
        (lambda p: change(p, "settings", []), "of type dict"),
        (lambda p: p["reference"].pop("stages"), "stages"),
    ],
)
def test_an_edited_manifest_is_an_error_that_names_what_is_wrong(manifest, edit, message):
    plain = json.loads(manifest.to_json())
    edit(plain)
    with pytest.raises(InvalidInputError, match=message):
        Manifest.from_json(json.dumps(plain))


def test_a_resume_may_change_seed_budget_and_device(manifest):
    manifest.check_compatible(describe_run(small_space(), seed=7, settings={"budget": 99}, device="cuda:0"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "cifar10"}, "data set: formula"),
        ({"data_fingerprint": "beef"}, "content of the data set"),
        ({"num_classes": 100}, "number of classes: 10"),
        ({"in_channels": 1}, "channels of the images"),
        ({"objective": "reward"}, "objective: pareto"),
        ({"fidelity": "4000x1"}, "fidelity: 2000x1"),
        ({"target_device": "H100"}, "device that step times are predicted for"),
        ({"target_device_digest": "beef"}, "content of the file of the device"),
    ],
)
def test_a_resume_with_something_else_says_what_differs(manifest, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        manifest.check_compatible(describe_run(small_space(), **changes))


def test_a_resume_with_another_space_says_what_differs(manifest):
    with pytest.raises(InvalidInputError, match="choices or bounds"):
        manifest.check_compatible(describe_run(small_space(max_num_params=50_000)))
    with pytest.raises(InvalidInputError, match="search space: small"):
        manifest.check_compatible(replace(manifest, space="large"))
    plain = {**manifest.reference, "train_image_size": 24}
    with pytest.raises(InvalidInputError, match="reference network"):
        manifest.check_compatible(replace(manifest, reference=plain))
    renamed = {**manifest.reference, "name": "the same network"}
    manifest.check_compatible(replace(manifest, reference=renamed))
