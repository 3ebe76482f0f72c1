import subprocess
import sys

import pytest

from nas import InvalidInputError, NasError, cli
from nas.errors import DivergedError, WorkerStartError
from tests.running import ROOT, exit_code


def raising(error):
    def verb(_args):
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInputError("`loaves` must be at least 1, got 0. Bake more."), 2),
        (DivergedError("training loss is nan"), 1),
        (WorkerStartError("workers end"), 1),
        (NasError("something"), 1),
    ],
)
def test_errors_are_one_line_and_a_code(error, code, capsys):
    assert exit_code(raising(error), []) == code
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"error: {error}\n")


def test_an_interruption_has_the_shells_code(capsys):
    assert exit_code(raising(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == ""


def test_a_fault_of_our_own_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        cli.run(raising(ZeroDivisionError()))


def test_a_verb_gets_the_arguments_and_its_code_is_the_exit_code():
    found = []

    def verb(args):
        found.extend(args)
        return 7

    assert exit_code(verb, ["--loaves", 3]) == 7
    assert found == ["--loaves", "3"]


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    with subprocess.Popen(
        [sys.executable, "-m", "nas.train", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""
    assert process.returncode == 1
