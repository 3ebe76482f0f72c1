import json
import os

import optuna
import pytest

from nas.optimization.storage.journal import JournalFile, open_journal


def record(number):
    return {"op_code": 2, "worker_id": "a", "study_id": 0, "user_attr": {"number": number}}


@pytest.mark.parametrize("torn", [b"{", b'{"op_code":2,"study', b"x" * 10_000])
def test_a_record_that_was_cut_off_is_cut_away_by_the_next_writer(tmp_path, torn):
    path = tmp_path / "journal"
    JournalFile(str(path)).append_logs([record(1), record(2)])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    JournalFile(str(path)).append_logs([record(3)])
    assert path.read_bytes().startswith(whole)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [record(n) for n in (1, 2, 3)]


def test_a_journal_that_only_ever_was_cut_off(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b'{"op_co')
    JournalFile(str(path)).append_logs([record(1)])
    assert path.read_text() == json.dumps(record(1), separators=(",", ":")) + "\n"


@pytest.mark.parametrize(("is_shared", "expected"), [(False, 1), (True, 4)])
def test_the_end_of_a_trial_is_on_the_disk_when_it_was_told(tmp_path, monkeypatch, is_shared, expected):
    study = optuna.create_study(storage=open_journal(tmp_path / "journal", is_shared=is_shared))
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    trial = study.ask()
    trial.suggest_int("x", 0, 1)
    trial.set_user_attr("y", 1)
    assert len(synced) == expected - 1
    study.tell(trial, 1.0)
    assert len(synced) == expected
    assert open_journal(tmp_path / "journal").get_all_trials(0)[0].value == 1.0
