"""`python -m nas.report`, in this process and as a user runs it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nas.results
from nas.optimization.objectives import PARETO
from nas.optimization.trials import note_end, note_sitting
from nas.report import main
from tests.results.report.conftest import add_candidates, make_run
from tests.running import everything_in, exit_code, start


def test_the_page_is_written_into_the_run_by_default(tmp_path, capsys):
    folder = make_run(tmp_path / "run", 3)
    before = set(everything_in(folder.path))
    assert exit_code(main, [folder.path]) == 0
    assert set(everything_in(folder.path)) - before == {"report.html"}
    assert "Report of 3 candidates" in capsys.readouterr().out


def test_page_and_pictures_go_where_they_are_asked(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    before = everything_in(folder.path)
    args = [folder.path, "--out", tmp_path / "new" / "page.html", "--png", tmp_path / "png"]
    assert exit_code(main, args) == 0
    assert (tmp_path / "new" / "page.html").is_file()
    assert len(list((tmp_path / "png").glob("*.png"))) == 6
    assert everything_in(folder.path) == before


def test_bad_input_is_one_line_and_writes_nothing(tmp_path, capsys):
    run = make_run(tmp_path / "run", 1).path
    (tmp_path / "file").touch()
    before = everything_in(tmp_path)
    for args, word in (
        ([tmp_path / "missing"], "run"),
        ([tmp_path], "manifest.json"),
        ([run, "--watch", "0"], "watch"),
        ([run, "--out", run], "out"),
        ([run, "--out", tmp_path / "file" / "page.html"], "out"),
        ([run, "--png", tmp_path / "file"], "png"),
    ):
        assert exit_code(main, args) == 2
        error = capsys.readouterr().err
        assert word in error
        assert len(error.splitlines()) == 1
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("package", ["plotly", "matplotlib"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert exit_code(main, [make_run(tmp_path / "run", 1).path]) == 2
    error = capsys.readouterr().err
    assert package in error
    assert 'pip install "nas[report]"' in error


def test_what_was_written_is_told_to_programs(tmp_path, capsys):
    folder = make_run(tmp_path / "run", 3)
    assert exit_code(main, [folder.path, "--png", tmp_path / "png", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"report": str(folder.path / "report.html"), "pictures": told["pictures"]}
    assert {Path(path) for path in told["pictures"]} == set((tmp_path / "png").iterdir())


def test_a_search_that_ran_out_of_networks_or_goes_on_to_more_is_reported_as_such(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    with folder.lock():
        study = folder.study(PARETO)
        note_sitting(study, 5)
        assert not nas.results.load(folder.path).is_finished
        note_end(study, exhausted=True)
        assert nas.results.load(folder.path).is_finished
        note_sitting(study, 4)
        assert not nas.results.load(folder.path).is_finished


def test_a_report_imports_no_torch(tmp_path):
    folder = make_run(tmp_path / "run", 2)
    code = (
        "import sys; from nas.report import main; main(sys.argv[1:]);"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    command = [sys.executable, "-c", code, str(folder.path), "--png", str(tmp_path / "png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_watching_writes_anew_until_the_budget_is_used_up(tmp_path):
    folder = make_run(tmp_path / "run", 24)
    page = folder.path / "report.html"
    process = start("-m", "nas.report", folder.path, "--watch", "1")
    try:
        until = time.monotonic() + 60
        while not page.is_file() and time.monotonic() < until:
            time.sleep(0.05)
        assert '<meta http-equiv="refresh" content="1">' in page.read_text(encoding="utf-8")
        add_candidates(folder, 1)
        output, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, error) == (0, "")
    assert "Report of 25 candidates" in output
    text = page.read_text(encoding="utf-8")
    assert "Finished: 25 candidates" in text
    assert 'http-equiv="refresh"' not in text
