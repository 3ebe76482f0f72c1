import pytest

from nas.files import replace_file


def test_a_file_that_cannot_be_replaced_stays_and_nothing_is_left(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(tmp_path / "target", "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]
