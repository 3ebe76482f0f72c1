"""Command lines and settings files of a class of settings, and of the verbs."""

import contextlib
import importlib
import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from nas import InvalidInputError, cli
from tests.running import ROOT, SETTINGS, exit_code, start

VERBS = ("search", "train", "evaluate", "export", "measure", "predict", "profile", "scale")


@dataclass(frozen=True)
class Settings:
    """Bake bread."""

    loaves: int = 1
    """How many."""
    flour: str = "rye"
    oven_heat: float = 230.0
    crust: Literal["soft", "crisp"] = "crisp"
    salted: bool = True
    seeds: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="SEED ...")] = None
    tin: Path | None = None
    config: Path | None = None


@dataclass(frozen=True)
class Required:
    """Bake what somebody orders."""

    order: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ORDER")]
    by: int
    config: Path | None = None


def bake(*args, default=None):
    return cli.parse(Settings, "bake", args, default)


@pytest.fixture
def config(tmp_path):
    return tmp_path / "bread.toml"


def test_what_is_not_given_is_the_defaults():
    assert bake("--loaves", "3") == Settings(3, "rye")
    assert bake("--loaves", "3", default=Settings(5, "oat")) == Settings(3, "oat")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--loaves", "many"], "`loaves` must be a whole number, got 'many'. See bake --help."),
        (["--loaves=many"], "`loaves` must be a whole number, got 'many'. See bake --help."),
        (["--oven-heat", "hot"], "`oven_heat` must be a number, got 'hot'. See bake --help."),
        (["--crust", "none"], "'none'"),
        (["--loaves"], "--loaves"),
        (["--loafs", "3"], "`flag` must be one of this command, got '--loafs'. Did you mean '--loaves'?"),
        (["--no-salt"], "`flag` must be one of this command, got '--no-salt'. Did you mean '--no-salted'?"),
        (["--xyzzy=3"], "`flag` must be one of this command, got '--xyzzy'. See bake --help."),
        (["3"], "3"),
        (["-x"], "-x"),
        (["--tyro-print-completion", "tcsh"], "`shell` must be one of bash, zsh, fish, got 'tcsh'"),
        (["--tyro-print-completion"], "`shell` must be one of bash, zsh, fish, got None"),
    ],
)
def test_arguments_that_do_not_parse_are_one_line(args, message, capsys):
    assert exit_code(lambda words: cli.parse(Settings, "bake", words) and 0, args) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not set(line) & set("│╭─")


def test_what_is_missing_is_named(config):
    with pytest.raises(InvalidInputError, match=r"ORDER.*--by INT.*See bake --help"):
        cli.parse(Required, "bake", [])
    config.write_text('order = "rolls"\nby = 7')
    assert cli.parse(Required, "bake", ["--config", str(config)]) == Required("rolls", 7, config)
    assert cli.parse(Required, "bake", ["buns", "--config", str(config), "--by=8"]) == Required("buns", 8, config)


def test_flags_are_written_with_either_stroke():
    assert bake("--oven_heat", "200") == bake("--oven-heat", "200") == Settings(oven_heat=200.0)


def test_a_file_gives_every_kind_of_setting(config):
    lines = ["loaves = 4", 'flour = "oat"', "oven-heat = 200", 'crust = "soft"', "salted = false"]
    config.write_text("\n".join([*lines, 'seeds = ["poppy", "flax"]', 'tin = "a/b"']))
    expected = Settings(4, "oat", 200.0, "soft", False, ("poppy", "flax"), Path("a/b"), config)
    assert bake("--config", str(config)) == bake(f"--config={config}") == expected
    assert type(expected.oven_heat) is float


def test_flags_override_the_file_and_the_file_what_came_before(config):
    config.write_text('loaves = 4\noven_heat = 200.5\nflour = "oat"')
    before = Settings(loaves=5, crust="soft", oven_heat=190.0)
    found = bake("--flour", "spelt", "--config", str(config), default=before)
    assert found == Settings(4, "spelt", 200.5, "soft", config=config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loavs = 4", "`setting` must be one of this command, got 'loavs'. Did you mean 'loaves'?"),
        ("[bread]\nloaves = 4", "`setting` must be one of this command, got 'bread'. Choose one of: "),
        ('config = "other.toml"', "`setting` must be one of this command, got 'config'"),
        ("oven-heat = 1\noven_heat = 2", "`oven_heat` must be given once"),
        ("loaves = 4.0", "`loaves` must be a whole number, got 4.0."),
        ('loaves = "4"', "`loaves` must be a whole number, got '4'."),
        ("loaves = true", "`loaves` must be a whole number, got True."),
        ('oven_heat = "hot"', "`oven_heat` must be a number, got 'hot'."),
        ("oven_heat = true", "`oven_heat` must be a number, got True."),
        ("flour = 3", "`flour` must be a text, got 3."),
        ("tin = 3", "`tin` must be a path as a text, got 3."),
        ("salted = 1", "`salted` must be true or false, got 1."),
        ('crust = "sof"', "`crust` must be one of soft, crisp, got 'sof'. Did you mean 'soft'?"),
        ("crust = [1]", "`crust` must be one of soft, crisp, got [1]. Choose one of: crisp, soft."),
        ('seeds = "poppy"', "`seeds` must be a list of texts, got 'poppy'."),
        ("seeds = [1]", "`seeds` must be a list of texts, got [1]."),
        ("loaves = 2026-01-31", "`loaves` must be a whole number"),
        ("loaves 4", "`config` must be a TOML file"),
        ("\udcff", "`config` must be a TOML file"),
        (f"seeds = {'[' * 100_000}", "`config` must be a TOML file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(text, message, config, capsys):
    config.write_text(text, errors="surrogateescape")
    assert exit_code(lambda words: cli.parse(Settings, "bake", words) and 0, ["--config", config]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert message in line
    assert str(config) in line


@pytest.mark.parametrize("path", ["nowhere.toml", "."])
def test_a_file_that_cannot_be_read(path):
    with pytest.raises(InvalidInputError, match="`config` must be a readable file"):
        bake("--config", path)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_a_file_and_names_flags_that_are_meant(verb, config, capsys):
    main = importlib.import_module(f"nas.{verb}").main
    assert exit_code(main, ["--confg", config]) == 2
    assert capsys.readouterr().err.endswith("got '--confg'. Did you mean '--config'?\n")
    config.write_text("devise = 3")
    assert exit_code(main, ["--config", config]) == 2
    assert "`setting` must be one of this command, got 'devise'." in capsys.readouterr().err


def on_a_terminal(*command, **environment):
    """Return what a command prints where stdout is a terminal."""
    ours, theirs = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment},
        stdout=theirs,
    ):
        os.close(theirs)
        printed = b""
        with contextlib.suppress(OSError):  # So Linux ends a terminal that nobody writes to any more.
            while part := os.read(ours, 65536):
                printed += part
    os.close(ours)
    return printed.decode()


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_help_has_colours_where_they_are_wanted(environment, coloured):
    printed = on_a_terminal("-m", "nas.export", "--help", **environment)
    assert "--num-classes" in printed
    assert ("\x1b[" in printed) == coloured


def complete(script, word, verb="search"):
    """Return what bash would offer for a word typed behind the command, a line each."""
    typed = f"COMP_WORDS=(nas-{verb} {word}); COMP_CWORD=1; _tyro_nas_{verb}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{script}\n{typed}"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@needs_bash
def test_a_shell_completes_flags_of_its_own_command_only():
    script, err = start("-m", "nas.search", "--tyro-print-completion", "bash").communicate(timeout=60)
    assert err == ""
    assert set(re.findall(r"^ *complete -F \w+ (.*)$", script, re.MULTILINE)) <= {"nas-search", '"$_prog_basename"'}
    assert complete(script, "--samp") == ["--sampler"]
    assert {"--status", "--step-mode", "--step-dtype"} <= set(complete(script, "--st"))


@needs_bash
@pytest.mark.parametrize("verb", SETTINGS)
def test_a_shell_offers_flags_and_no_words_of_their_help(verb, capsys):
    args = ["--tyro-print-completion", "bash"]
    with pytest.raises(SystemExit):
        cli.parse(SETTINGS[verb], f"python -m nas.{verb}", args)
    names = {f"--{field.name.replace('_', '-')}" for field in fields(SETTINGS[verb])}
    offered = set(complete(capsys.readouterr().out, "--", verb))
    assert {"--json", "--config"} & names <= offered <= names | {f"--no-{name[2:]}" for name in names} | {"--help"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_that_is_written_is_the_one_that_is_printed(shell, tmp_path, capsys):
    path = tmp_path / "script"
    for args in (["--tyro-print-completion", shell], ["--tyro-write-completion", shell, str(path)]):
        with pytest.raises(SystemExit):
            cli.parse(SETTINGS["search"], "python -m nas.search", args)
    printed = capsys.readouterr().out
    assert printed == path.read_text(encoding="utf-8") + "\n"
    (spec,) = [line for line in printed.splitlines() if line.startswith("COMPLETION_SPEC = ")]
    assert "own as package.module:attribute" in spec
    assert not re.search(r"\\n", spec)
