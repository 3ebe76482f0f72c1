"""A source of every kind."""

from pathlib import Path

import pytest

from tests.data.making import MAKERS, Maker


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__.removeprefix("make_"))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A name or path of every kind of source that needs no download."""
    maker: Maker = request.param
    return maker(tmp_path / "source")
