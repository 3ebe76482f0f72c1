import errno
import os
from pathlib import Path

import pytest

from nas.errors import DiskError
from nas.results.disk import disk_errors


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO])
def test_what_a_disk_refuses_is_one_sentence(number):
    with pytest.raises(DiskError) as caught, disk_errors(Path("run"), "Make room."):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"run cannot be written to: {os.strerror(number)}. Make room."


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path, "Make room."):
        (tmp_path / "nothing").read_bytes()
