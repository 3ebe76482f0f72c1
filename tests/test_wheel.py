"""The wheel, all that an installation without a clone has: it holds what the packages need, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import PurePosixPath

import pytest

from tests.running import ROOT

PACKAGES = ("nas", "search_spaces")


def tracked(*paths):
    """Return the files that git tracks below `paths`, or everywhere, as relative paths."""
    command = ["git", "ls-files", "-z", "--", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, open; built from a copy of what is tracked, where no earlier build is in the way."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    copy, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for name in tracked(*PACKAGES, "tests", "pyproject.toml", "README.md", "LICENSE"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", out, copy],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_every_file_of_the_packages_is_in_it(wheel):
    """Those that are no Python, too: pyproject.toml has to name them."""
    assert tracked(*PACKAGES) - set(wheel.namelist()) == set()


def test_it_holds_what_is_read_at_run_time(wheel):
    """Of what the test above would not miss if it were renamed."""
    found = {(str(path.parent), path.suffix) for path in map(PurePosixPath, wheel.namelist())}
    assert {("nas/results/report", ".css"), ("nas/results/report", ".js"), ("nas/data/embedded", ".xz")} <= found
    assert "nas/py.typed" in wheel.namelist()


def test_nothing_else_is_in_it(wheel):
    """No tests, which would be installed as a package of that name."""
    tops = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_its_spaces_are_found_by_name(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    group, *spaces = wheel.read(name).decode().split("\n\n")[0].splitlines()
    assert group == "[nas.search_spaces]"
    for line in spaces:
        module = line.partition(" = ")[2].partition(":")[0]
        assert f"{module.replace('.', '/')}.py" in wheel.namelist()
