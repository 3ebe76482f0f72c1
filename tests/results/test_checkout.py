import importlib
import shutil
import subprocess
import sys

import pytest

from nas.results.checkout import space_checkout

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", folder, *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of a user's own, in a folder that git keeps."""
    path = tmp_path / "a_space_in_a_checkout.py"
    path.write_text("space = None\n")
    git(tmp_path, "init")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(path.stem)
    yield path
    del sys.modules[path.stem]


def test_commit_and_changes_of_a_space_of_ones_own(module):
    name, folder = f"{module.stem}:space", module.parent
    assert space_checkout(name) is None, "git does not keep the file"
    git(folder, "add", module.name)
    git(folder, "commit", "-m", "A space")
    commit = git(folder, "rev-parse", "HEAD")
    assert space_checkout(name) == {"commit": commit, "changed": False}
    module.write_text("space = 1\n")
    assert space_checkout(name) == {"commit": commit, "changed": True}


def test_spaces_that_nobody_imported():
    assert space_checkout("no_such_package.module:space") is None
    assert space_checkout("") is None
