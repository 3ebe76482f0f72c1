"""What every test has: a cache folder and device leases of the tests' own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # Before torch: two processes of several threads each slow each other down.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.postgres import postgres

__all__ = ["postgres"]


@pytest.fixture(scope="session")
def arch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a network that is trained in moments, for images of stripes."""
    from tests.stripes import space  # Imports torch: only where it is wanted.

    path = tmp_path_factory.mktemp("arch") / "S.json"
    space.reference.save(path)
    return path


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache, data and lease folders out of the tests; all tests share one cache."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("NAS_DATA_DIR", str(cache / "published"))
        patch.setenv("NAS_LEASE_DIR", str(cache / "leases"))
        yield
