from dataclasses import dataclass
from pathlib import Path

import pytest

from nas import InvalidInputError, NasError, cli
from nas.errors import DivergedError, WorkerStartError
from tests.running import exit_code


@dataclass(frozen=True)
class Settings:
    """Bake bread."""

    loaves: int = 1
    """How many."""
    flour: str = "rye"


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


def test_what_is_not_given_is_the_defaults():
    assert cli.parse(Settings, "bake", ["--loaves", "3"]) == Settings(3, "rye")
    assert cli.parse(Settings, "bake", ["--loaves", "3"], default=Settings(5, "oat")) == Settings(3, "oat")


@pytest.mark.parametrize("args", [["--loaves", "many"], ["--loafs", "3"], ["3"]])
def test_arguments_that_do_not_parse_exit_with_2(args, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.parse(Settings, "bake", args)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert "bake --help" in printed.err


def test_paths_are_as_short_as_they_can_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.short_path(tmp_path / "results" / "run") == Path("results/run")
    assert cli.short_path(tmp_path.parent / "other") == tmp_path.parent / "other"


def test_tables_are_not_squeezed_where_there_is_no_terminal(capsys):
    console = cli.console()
    console.print("x" * 140)
    assert capsys.readouterr().out == "x" * 140 + "\n"
