"""The embedded images and their cache."""

from pathlib import Path

import numpy as np
import pytest

from nas.data.embed import EMBEDDED_DIR
from nas.data.fashion import cache_dir, fashion_hard
from nas.data.rendering import Rendering

STILL = Rendering(clutter=0, noise=0.0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_dir()


def test_embedded_files_are_small_and_have_a_licence() -> None:
    files = [path for path in EMBEDDED_DIR.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    assert "Zalando" in (EMBEDDED_DIR / "LICENSE.txt").read_text()


def test_cached_images_are_the_rendered_ones(cache: Path) -> None:
    first, labels, digest = fashion_hard("test", STILL)
    (file,) = cache.iterdir()
    written = file.stat().st_mtime_ns
    again, same_labels, same_digest = fashion_hard("test", STILL)
    assert file.stat().st_mtime_ns == written
    assert np.array_equal(first, again)
    assert np.array_equal(labels, same_labels)
    assert digest == same_digest


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY damaged"])
def test_damaged_cache_is_replaced(cache: Path, content: bytes) -> None:
    first, *_ = fashion_hard("test", STILL)
    (file,) = cache.iterdir()
    intact = file.read_bytes()
    file.write_bytes(content)
    assert np.array_equal(fashion_hard("test", STILL)[0], first)
    assert file.read_bytes() == intact


def test_cache_that_cannot_be_written_is_done_without(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert fashion_hard("test", STILL)[0].shape == (6000, 1, 32, 32)
    assert cache.is_file()


def test_splits_and_renderings_have_digests_of_their_own(cache: Path) -> None:
    digests = {fashion_hard(split, how)[2] for split in ("train", "test") for how in (STILL, Rendering())}
    assert len(digests) == 4
