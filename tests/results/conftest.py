import shutil
from pathlib import Path

import pytest

from nas.optimization.objectives import PARETO
from nas.results import Manifest, Run, RunFolder
from tests.synthetic import new_study, run_search, small_space


def describe_run(space, **changes):
    known = {
        **{"data": "formula", "data_fingerprint": "0123", "num_classes": 10, "in_channels": 3, "seed": 0},
        **{"objective": "pareto", "fidelity": "2000x1", "settings": {"budget": 25}, "device": "cpu"},
    }
    return Manifest.collect(space, **(known | changes))


def run_in_memory(num_asks, path=Path("memory"), study=None, manifest=None, **changes):
    """A run whose trials are drawn at random, some of them failed or free, and never written."""
    study = study or new_study(PARETO)
    run_search(study, small_space(), PARETO, "random", num_asks, **changes)
    return Run(RunFolder(path), manifest or describe_run(small_space()), study)


@pytest.fixture
def run_folder(tmp_path):
    """A run that has just been created: a manifest, no journal."""
    folder = RunFolder.create(tmp_path / "run")
    folder.write_manifest(describe_run(small_space()))
    return folder


@pytest.fixture(scope="session")
def searched_once(tmp_path_factory):
    folder = RunFolder.create(tmp_path_factory.mktemp("searched") / "run")
    folder.write_manifest(describe_run(small_space()))
    with folder.lock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # the disk's speed is not what is tested
        run_search(folder.study(PARETO), small_space(), PARETO, "tpe", 25, budget=16)
    return folder.path


@pytest.fixture
def searched(searched_once, tmp_path):
    """A run of its own in which 25 trials were asked for, some of them failed or free."""
    return RunFolder.open(shutil.copytree(searched_once, tmp_path / "run"))
