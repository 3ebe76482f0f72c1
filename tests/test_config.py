import json
import math
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.config import (
    ProfileSettings,
    SearchSettings,
    TrainSettings,
)
from nas.config.checks import parse_bytes
from nas.config.places import parse_devices
from nas.evaluation.fidelity import Fidelity
from nas.models.export import EXPORTERS
from nas.optimization.objectives import OBJECTIVES, get_objective
from nas.optimization.samplers import DEFAULT_SAMPLER, SAMPLER_NAMES
from nas.optimization.stopping import STOPPING_NAMES
from nas.registry import get_space
from tests.running import SETTINGS

searches = st.builds(
    SearchSettings,
    budget=st.integers(1, 10**6),
    data=st.text(),
    sampler=st.sampled_from(SAMPLER_NAMES),
    objective=st.sampled_from(sorted(OBJECTIVES)),
    stopping=st.sampled_from(STOPPING_NAMES),
    rungs=st.none() | st.just("1/4,1/2"),
    workers=st.none() | st.integers(1, 64),
    seed=st.integers(0, 2**32 - 1),
    val_images=st.none() | st.integers(1, 10**6),
    warm_start=st.booleans(),
    target_device=st.none() | st.just(Path("devices/h100.json")),
    noise_repeats=st.integers(0, 1000),
    max_step_time=st.none() | st.floats(0.1, 10),
    signals=st.none() | st.just(("naswot", "grad_norm")),
    prefilter=st.none() | st.just("depth:0.5"),
    grace=st.floats(0.1, 1e4),
    cluster=st.none() | st.just("ray://head:10001"),
    out=st.none() | st.just(Path("somewhere")),
    storage=st.just("journal:///shared/study"),
    study=st.none() | st.just("study"),
    storage_timeout=st.floats(1, 1000),
    driver_timeout=st.floats(1, 1000),
)


@given(searches)
def test_search_settings_survive_the_manifest(settings):
    settings.check()
    plain = json.loads(json.dumps(settings.to_dict()))
    assert SearchSettings.from_dict(plain) == replace(settings, out=None, resume=None)


def test_a_table_survives_the_manifest():
    settings = SearchSettings(table=Path("tables/small.csv"), objective="accuracy-macs", workers=2)
    settings.check()
    assert SearchSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_what_belongs_to_one_call_is_not_part_of_the_run():
    of_the_call = ("out", "resume", "status", "json", "config")
    assert set(of_the_call) & set(SearchSettings(out=Path("a")).to_dict()) == set()
    for key in of_the_call:
        with pytest.raises(InvalidInputError, match="those of a search"):
            SearchSettings.from_dict({key: "a"})


def test_settings_of_another_version_are_refused_with_a_suggestion():
    with pytest.raises(InvalidInputError, match=r"got 'sampler_name'. Did you mean 'sampler'"):
        SearchSettings.from_dict({"sampler_name": "tpe"})


def test_the_defaults_are_known_where_they_are_used():
    settings = SearchSettings()
    settings.check()
    assert settings.sampler == DEFAULT_SAMPLER
    get_space(settings.space)
    get_objective(settings.objective)
    Fidelity.parse(settings.fidelity)
    TrainSettings("S.json").check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 0}, "`budget` must be at least 1, got 0"),
        ({"budget": -1}, "`budget` must be at least 1, got -1"),
        ({"workers": -1}, "`workers` must be from 0 to 1024"),
        ({"workers": 1025}, "`workers` must be from 0 to 1024"),
        ({"seed": -1}, "`seed` must be from 0"),
        ({"seed": 2**32}, "`seed` must be from 0"),
        ({"val_images": 0}, "`val_images` must be at least 1"),
        ({"study": "a"}, "`study` must be left out without a storage"),
        ({"storage": "sqlite:///a", "study": ""}, "`study` must be a printable name"),
        ({"storage_timeout": 0.5}, "`storage_timeout` must be at least 1 and finite"),
        ({"driver_timeout": math.inf}, "`driver_timeout` must be at least 1 and finite"),
        ({"noise_repeats": -1}, "`noise_repeats` must be from 0 to 1000"),
        ({"noise_repeats": 1001}, "`noise_repeats` must be from 0 to 1000"),
        ({"grace": 0.0}, "`grace` must be above 0 and at most 10,000,000"),
        ({"grace": math.inf}, "`grace` must be above 0 and at most 10,000,000"),
        ({"trial_timeout": -1.0}, "`trial_timeout` must be above 0 and at most 10,000,000"),
        ({"trial_timeout": 9.0, "workers": 0}, "`trial_timeout` must be given with workers, got '9.0 and workers 0'"),
        ({"worker_memory": "4"}, "`worker_memory` must be a number and a unit"),
        ({"worker_memory": "0GiB"}, "`worker_memory` must be a number and a unit"),
        ({"max_step_time": 0.0}, "`max_step_time` must be above 0 and finite"),
        ({"max_step_time": math.nan}, "`max_step_time` must be above 0 and finite"),
        ({"out": Path("a"), "resume": Path("b")}, "given one at a time"),
        ({"signals": ("naswot", "sinflow")}, "`signals` must be known, got 'sinflow'. Did you mean 'synflow'"),
        ({"prefilter": "macs"}, "`prefilter` must be SIGNAL:KEEP"),
        ({"table": Path("a.csv"), "prefilter": "naswot:0.5"}, "`prefilter` must be in closed form with a table"),
        ({"table": Path("a.csv"), "signals": ("naswot",)}, "`table and signals` must be given one at a time"),
        ({"devices": ""}, "`devices` must be GPUs with a comma between"),
        ({"devices": "cuda"}, "`devices` must be GPUs with a comma between"),
        ({"devices": "cuda:0;cuda:1"}, "`devices` must be GPUs"),
        ({"devices": "cuda:0,cuda:0"}, "`devices` must be named once each"),
        ({"devices": "cuda:0", "device": "cuda:0"}, "`devices` must be given without --device"),
        ({"devices": "cuda:0", "workers": 0}, "`devices` must be given without --device and with workers"),
        ({"devices": "cuda:0", "cluster": "auto"}, "`devices` must be given without --cluster"),
        ({"gpus_per_trial": 0.5}, "must be given with --cluster"),
        ({"memory_per_trial": "4GiB"}, "must be given with --cluster"),
        ({"cluster": "somewhere"}, "`cluster` must be local, auto, HOST:PORT"),
        ({"cluster": "http://head:6379"}, "`cluster` must be local, auto, HOST:PORT"),
        ({"cluster": "head:70000"}, "`cluster` must be local, auto, HOST:PORT"),
        ({"cluster": "auto", "workers": 0}, "`workers` must be at least 1 on a cluster"),
        ({"cluster": "auto", "device": "cuda:1"}, "`device` must be auto, cpu or cuda on a cluster"),
        ({"cluster": "auto", "timing_device": "cuda:1"}, "`timing_device` must be left out on a cluster"),
        ({"cluster": "auto", "gpus_per_trial": 1.5}, "`gpus_per_trial` must be above 0 and at most 1"),
        ({"cluster": "auto", "gpus_per_trial": math.nan}, "`gpus_per_trial` must be above 0"),
        ({"cluster": "auto", "gpus_per_trial": 0.5, "device": "cpu"}, "left out with --device cpu"),
        ({"cluster": "auto", "worker_memory": "4GiB"}, "`worker_memory` must be left out on a cluster"),
        ({"cluster": "auto", "memory_per_trial": "much"}, "`memory_per_trial` must be a number and a unit"),
        ({"cluster": "auto", "memory_per_trial": "-1GB"}, "`memory_per_trial` must be a number and a unit"),
        ({"cluster": "auto", "memory_per_trial": "0"}, "`memory_per_trial` must be a number and a unit"),
    ],
)
def test_bad_search_settings(change, message):
    with pytest.raises(InvalidInputError, match=message):
        SearchSettings(**change).check()


@pytest.mark.parametrize(
    "cluster", ["auto", "local", "head:6379", "10.0.0.5:6379", "ray://head-1.lan:10001", "[::1]:1"]
)
def test_addresses_of_clusters(cluster):
    SearchSettings(cluster=cluster, gpus_per_trial=0.25, memory_per_trial="4GiB").check()


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 4 * 2**30), ("1.5 GiB", 3 * 2**29), ("500MB", 500 * 10**6)],
)
def test_sizes(text, size):
    assert parse_bytes("memory_per_trial", text) == size


def test_lists_of_gpus():
    assert parse_devices("cuda:1") == (1,)
    assert parse_devices("cuda:3, cuda:0") == (3, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"batch_size": 1}, "`batch_size` must be at least 2"),
        ({"image_size": 7}, "`image_size` must be at least 8"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0 and finite"),
        ({"learning_rate": math.inf}, "`learning_rate` must be above 0 and finite"),
        ({"learning_rate": math.nan}, "`learning_rate` must be above 0 and finite"),
        ({"weight_decay": -0.1}, "`weight_decay` must be 0 or more"),
        ({"weight_decay": math.nan}, "`weight_decay` must be 0 or more"),
        ({"seed": -1}, "`seed` must be from 0"),
        ({"val_images": 0}, "`val_images` must be at least 1"),
    ],
)
def test_bad_train_settings(change, message):
    with pytest.raises(InvalidInputError, match=message):
        TrainSettings("S.json", **change).check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": 19}, "`networks` must be at least 20, got 19"),
        ({"batch_size": 1}, "`batch_size` must be at least 2"),
        ({"image_size": 7}, "`image_size` must be at least 8"),
        ({"num_classes": 0}, "`num_classes` must be at least 1"),
        ({"in_channels": 0}, "`in_channels` must be at least 1"),
    ],
)
def test_bad_profile_settings(change, message):
    ProfileSettings(Path("h100.json")).check()
    with pytest.raises(InvalidInputError, match=message):
        ProfileSettings(Path("h100.json"), **change).check()


@pytest.mark.parametrize("verb", SETTINGS)
def test_help_knows_every_setting_and_needs_no_torch(verb):
    code = f"import sys, nas.{verb} as verb\ntry: verb.main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for field in fields(SETTINGS[verb]):
        if field.name in ("arch", "archs", "run") and verb != "train":
            continue  # It is given without a flag.
        if verb == "predict" and field.name in ("weights", "path"):
            continue  # It is given without a flag.
        assert f"--{field.name.replace('_', '-')}" in done.stdout or f"--no-{field.name}" in done.stdout
    if verb == "search":
        assert f"{{{','.join(SAMPLER_NAMES)}}}" in done.stdout
        assert f"{{{','.join(OBJECTIVES)}}}" in done.stdout
        assert f"{{{','.join(STOPPING_NAMES)}}}" in done.stdout
    if verb == "export":
        assert f"{{{','.join(EXPORTERS)}}}" in done.stdout


def test_a_timed_step_is_the_proxys_unless_settings_say_otherwise():
    from nas.evaluation.proxy_factory import PROXY_RECIPE

    assert SearchSettings().step_setup().batch_size == PROXY_RECIPE.batch_size
    assert SearchSettings().step_words() == ""
    changed = SearchSettings(step_batch_size=128, step_image_size=96, step_mode="compile")
    assert changed.step_words() == "mode compile, batch_size 128, image_size 96"
    assert (changed.step_setup().batch_size, changed.step_setup().mode) == (128, "compile")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_batch_size": 1}, "`step batch_size` must be"),
        ({"step_image_size": 4}, "`step image_size` must be"),
        ({"step_batch_size": 32, "target_device": Path("h100.json")}, "one at a time"),
    ],
)
def test_bad_step_settings(change, message):
    with pytest.raises(InvalidInputError, match=message):
        SearchSettings(**change).check()
