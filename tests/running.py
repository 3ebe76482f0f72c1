"""Verbs as a user runs them: in this process, which is quick, or in one of their own."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from nas import cli
from nas.config import (
    CalibrateSettings,
    EvaluateSettings,
    ExportSettings,
    MeasureSettings,
    PredictSettings,
    ProfileSettings,
    ReportSettings,
    ScaleSettings,
    SearchSettings,
    TrainSettings,
)

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "search": SearchSettings,
    "calibrate": CalibrateSettings,
    "train": TrainSettings,
    "evaluate": EvaluateSettings,
    "export": ExportSettings,
    "measure": MeasureSettings,
    "predict": PredictSettings,
    "profile": ProfileSettings,
    "report": ReportSettings,
    "scale": ScaleSettings,
}
"""Every verb."""


def exit_code(verb: Callable[[Sequence[str]], int], args: Sequence[object]) -> int:
    """Run a verb with command line arguments in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["verb", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            cli.run(verb)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def refusal(verb: Callable[[Sequence[str]], int], args: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a verb with bad input in this process; return its error, all it says: one line on stderr, exit code 2."""
    assert exit_code(verb, args) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    return line


def start(*command: object, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """Start `python COMMAND` as a user would in the folder `cwd`, with this checkout's packages."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextmanager
def file_size_limit(num_bytes: int) -> Iterator[None]:
    """Let no file that this process writes get longer: it fails where a full disk would, and needs no disk to mount."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def everything_in(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, and its folders, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}
