"""A PostgreSQL server of one's own, where it is installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/lib/postgresql/none"))


def as_postgres(folder: Path, *command: object) -> None:
    """Run one of PostgreSQL's programs as its own user, since it refuses to be root's."""
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words]
    subprocess.run(words, check=True, cwd=folder, capture_output=True, timeout=60)


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of one's own, on a socket in a folder."""
    if not POSTGRES.exists():
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    # Its user must reach the folder, and the path of a socket must be short.
    folder = Path(tempfile.gettempdir()) / f"nas-postgres-{os.getpid()}"
    folder.mkdir(mode=0o755)
    control = (POSTGRES / "pg_ctl", "-D", folder / "data")
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        as_postgres(folder, POSTGRES / "initdb", "-D", folder / "data", "-A", "trust", "-U", "nas", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        as_postgres(folder, *control, "-o", options, "-l", folder / "log", "-w", "start")
    except (OSError, LookupError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder)
        pytest.skip(f"PostgreSQL does not start: {error}")
    try:
        yield f"postgresql://nas@/postgres?host={folder}"
    finally:
        as_postgres(folder, *control, "-m", "immediate", "stop")
        shutil.rmtree(folder)
