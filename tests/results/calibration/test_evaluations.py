import json
from dataclasses import asdict, replace

import pytest

from nas import InvalidInputError
from nas.results.calibration.evaluations import append_evaluation, mend_evaluations, read_evaluations
from nas.results.calibration.folder import CalibrationFolder
from tests.results.calibration.making import make_evaluations, write_evaluations

SOME = make_evaluations(num_networks=4)[:5]


@pytest.fixture
def path(tmp_path):
    for evaluation in SOME:
        append_evaluation(tmp_path / "evaluations.jsonl", evaluation)
    return tmp_path / "evaluations.jsonl"


def test_what_was_added_is_read(path, tmp_path):
    assert read_evaluations(path) == SOME
    assert read_evaluations(tmp_path / "none") == []


def test_of_equal_trainings_the_last_counts(path):
    append_evaluation(path, replace(SOME[1], accuracy=0.9))
    found = read_evaluations(path)
    assert len(found) == len(SOME)
    assert [each.accuracy for each in found if each.key == SOME[1].key] == [0.9]


@pytest.mark.parametrize("kept", [1, 40, -2, -1])
def test_a_torn_end_is_dropped_and_its_training_can_be_added_again(path, kept):
    """Cut within the last line, down to its line end alone."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:kept])
    assert read_evaluations(path) == SOME[:-1]
    mend_evaluations(path)
    append_evaluation(path, SOME[-1])
    assert path.read_bytes() == b"".join(lines)


def test_whole_files_are_not_mended(path, tmp_path):
    before = path.read_bytes()
    mend_evaluations(path)
    mend_evaluations(tmp_path / "none")
    assert path.read_bytes() == before
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2` must be JSON"),
        ("[1]", "line 2` must be JSON"),
        (json.dumps({**asdict(SOME[0]), "acuracy": 1}), "line 2: `keys of an evaluation`.*Did you mean 'accuracy'"),
        (json.dumps({k: v for k, v in asdict(SOME[0]).items() if k != "seed"}), "line 2: .*got 'seed'"),
        (json.dumps({**asdict(SOME[0]), "role": "short"}), "line 2: `role` must be proxy or long"),
    ],
)
def test_damage_elsewhere_is_told_with_its_line(path, line, message):
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[2:]]) + "\n")
    with pytest.raises(InvalidInputError, match=message):
        read_evaluations(path)


def test_a_folder_is_one_calibrations(tmp_path):
    folder = write_evaluations(tmp_path / "cal", SOME)
    assert CalibrationFolder.open(folder.path).evaluations() == SOME
    with pytest.raises(InvalidInputError, match="go on with it by --resume"):
        CalibrationFolder.unused(folder.path)
    with pytest.raises(InvalidInputError, match=r"must be a folder with a manifest\.json"):
        CalibrationFolder.open(tmp_path)
    with folder.lock():
        assert folder.is_locked()
        with pytest.raises(InvalidInputError, match="Another process works on it"), folder.lock():
            pass
    assert not folder.is_locked()
