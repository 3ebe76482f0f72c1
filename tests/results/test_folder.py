import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest

from nas.errors import InvalidInputError
from nas.optimization.objectives import PARETO, REWARD
from nas.results import RunFolder
from nas.results.folder import check_unused, default_run_name, repair_journal
from tests.synthetic import run_search, small_space


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_new_and_an_empty_folder_become_runs(tmp_path, run_folder):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "deep/er"):
        folder = RunFolder.create(tmp_path / name)
        folder.write_manifest(run_folder.manifest)
        assert RunFolder.open(tmp_path / name).manifest == run_folder.manifest


def test_creating_where_a_run_is_says_to_resume(run_folder):
    before = contents(run_folder.path)
    with pytest.raises(InvalidInputError, match="--resume"):
        RunFolder.create(run_folder.path)
    assert contents(run_folder.path) == before


def test_a_folder_with_other_files_is_refused_and_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for make, rule in ((RunFolder.create, "new or empty"), (RunFolder.open, "no run")):
        with pytest.raises(InvalidInputError, match=rule):
            make(tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"precious"}


def test_a_file_and_a_missing_folder_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for make in (RunFolder.create, RunFolder.open):
        with pytest.raises(InvalidInputError, match="a folder"):
            make(tmp_path / "file")
    with pytest.raises(InvalidInputError, match="a folder"):
        RunFolder.open(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_place_is_checked_without_writing_to_it(tmp_path):
    (tmp_path / "file").write_text("precious")
    check_unused(tmp_path / "new" / "deeper", "out")
    for path, rule in (("file", "a folder"), ("file/below", "a folder"), (".", "new or empty")):
        with pytest.raises(InvalidInputError, match=f"`out` must be {rule}"):
            check_unused(tmp_path / path, "out")
    check_unused(tmp_path, "out", passed_over=("file",))
    assert contents(tmp_path) == {"file": b"precious"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_to_is_known_before_anything_is_done(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InvalidInputError, match="a place to write"):
        check_unused(tmp_path / "locked" / "run", "out")


def test_a_creation_that_was_killed_before_the_manifest_can_be_repeated(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    with folder.lock():
        pass
    RunFolder.create(tmp_path / "run")


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"kind": "other/1"}', '{"kind": "nas.run/1"}', "\x00"])
def test_a_folder_whose_manifest_is_of_another_kind_is_no_run(tmp_path, manifest):
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(InvalidInputError, match="manifest"):
        RunFolder.open(tmp_path)


HOLD_LOCK = """
import sys
from nas.results import RunFolder
with RunFolder.open(sys.argv[1]).lock():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_two_processes_never_work_on_one_run_and_the_lock_dies_with_its_process(run_folder):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(run_folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(InvalidInputError, match="Another process"), run_folder.lock():
            pass
    finally:
        holder.kill()
        holder.communicate()
    with run_folder.lock():
        pass


def test_the_study_keeps_names_and_directions_of_its_objectives(run_folder):
    study = run_folder.study(PARETO)
    assert study.metric_names == list(PARETO.metrics)
    assert [d.name.lower() for d in study.directions] == list(PARETO.directions)
    size = run_folder.journal_path.stat().st_size
    assert run_folder.study(PARETO).metric_names == list(PARETO.metrics)
    assert run_folder.journal_path.stat().st_size == size, "opening a study again writes nothing"


def test_resuming_with_another_objective_is_an_error(run_folder):
    run_folder.study(PARETO)
    with pytest.raises(InvalidInputError, match="objective"):
        run_folder.study(REWARD)


TORN = {
    "half a record": b'{"op_code":5,"worker_id":"8d1',
    "half a record and a line end": b'{"op_code":5,"worker_id":"8d1\n',
    "zeros": b"\0" * 100,
    "an empty line": b"\n",
    "a record of another kind": b"12\n",
}


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
def test_a_torn_last_line_is_cut_and_the_search_goes_on(searched, caplog, torn):
    whole = searched.journal_path.read_bytes()
    searched.journal_path.write_bytes(whole + torn)
    study = searched.study(PARETO)
    assert searched.journal_path.read_bytes() == whole
    assert searched.journal_path.with_name("journal.log.bak").read_bytes() == whole + torn
    assert "mended" in caplog.text
    run_search(study, small_space(), PARETO, "tpe", 2, budget=16)
    assert len(searched.read_study().trials) == 27


def test_a_record_that_only_lacks_its_line_end_is_kept(searched):
    whole = searched.journal_path.read_bytes()
    searched.journal_path.write_bytes(whole[:-1])
    searched.study(PARETO)
    assert searched.journal_path.read_bytes() == whole


def test_a_first_record_that_is_torn_leaves_an_empty_journal(run_folder):
    run_folder.journal_path.write_bytes(b'{"op_co')
    assert run_folder.study(PARETO).trials == []


def test_a_whole_or_missing_journal_is_left_alone(searched, tmp_path):
    before = contents(searched.path)
    repair_journal(searched.journal_path)
    assert contents(searched.path) == before
    repair_journal(tmp_path / "none.log")
    assert not (tmp_path / "none.log").exists()


def test_a_journal_damaged_elsewhere_is_an_error_and_not_changed(searched):
    lines = searched.journal_path.read_bytes().splitlines(keepends=True)
    for damage in (
        [*lines[:5], b"{torn" + lines[5], *lines[6:]],
        [*lines, b"torn\n", b"twice\n"],
        [b"text\n", b"text\n"],
    ):
        searched.journal_path.write_bytes(b"".join(damage))
        with pytest.raises(InvalidInputError, match="journal"):
            searched.study(PARETO)
        assert searched.journal_path.read_bytes() == b"".join(damage)


def test_reading_changes_nothing_even_where_the_end_is_torn(searched):
    searched.journal_path.write_bytes(searched.journal_path.read_bytes() + b'{"op_c')
    before = contents(searched.path)
    assert len(searched.read_study().trials) == 25
    assert contents(searched.path) == before


def test_reading_a_run_without_a_search_says_so(run_folder):
    before = contents(run_folder.path)
    with pytest.raises(InvalidInputError, match="--resume"):
        run_folder.read_study()
    assert contents(run_folder.path) == before
    run_folder.journal_path.write_bytes(b"")
    with pytest.raises(InvalidInputError, match="--resume"):
        run_folder.read_study()


def test_the_journals_lock_goes_stale_where_the_folder_was_given_relatively(run_folder, monkeypatch):
    """A writer killed while it holds Optuna's lock must not stop the next one for ever."""
    monkeypatch.chdir(run_folder.path.parent)
    folder = RunFolder.open("run")
    Path(f"{folder.journal_path}.lock").symlink_to(folder.journal_path)
    folder.journal_path.touch()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    writer = threading.Thread(target=folder.study, args=(PARETO,), daemon=True)
    writer.start()
    writer.join(timeout=60)
    assert not writer.is_alive()


def test_default_names_are_safe_for_paths():
    name = default_run_name("my_spaces.wild:the_space", "../shared/My data/")
    assert re.fullmatch(r"\d{8}-\d{6}-the_space-My-data", name)
