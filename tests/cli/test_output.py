import json
import math
from pathlib import Path

import pytest
from rich.table import Table

from nas import cli


def test_paths_are_as_short_as_they_can_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.short_path(tmp_path / "results" / "run") == Path("results/run")
    assert cli.short_path(tmp_path.parent / "other") == tmp_path.parent / "other"


def test_tables_are_not_squeezed_where_there_is_no_terminal(capsys):
    console = cli.console()
    console.print("x" * 140)
    assert capsys.readouterr().out == "x" * 140 + "\n"


def test_stdout_is_free_for_json(capsys):
    cli.console(stderr=True).print("x" * 140)
    cli.print_json({"words": "±", "missing": None})
    printed = capsys.readouterr()
    assert printed.err == "x" * 140 + "\n"
    assert json.loads(printed.out) == {"words": "±", "missing": None}


def test_numbers_that_json_does_not_know_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        cli.print_json({"number": math.nan})


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_are_for_terminals_that_want_them(environment, coloured, monkeypatch, capsys):
    """FORCE_COLOR stands for a terminal here, as it does for rich."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    table = Table("A", title="Front")
    table.add_row("[red]1[/red]")
    cli.console().print(table)
    assert ("\x1b[31m" in capsys.readouterr().out) == coloured
