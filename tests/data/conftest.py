"""A source of every kind, and a cache folder of the tests' own."""

from pathlib import Path

import pytest

from tests.data.making import MAKERS, Maker


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache and data folders out of the tests; all tests share one cache."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("NAS_DATA_DIR", str(cache / "published"))


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__.removeprefix("make_"))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A name or path of every kind of source that needs no download."""
    maker: Maker = request.param
    return maker(tmp_path / "source")
