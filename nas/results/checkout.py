"""Which commit code was run from."""

import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

_PATIENCE_S = 20


def toolkit_checkout() -> dict[str, Any] | None:
    """Return commit and whether tracked files differ from it, if the toolkit lies in a checkout of its own."""
    root = Path(__file__).resolve().parents[2]
    return _state(root) if (root / ".git").exists() else None


def space_checkout(name: str) -> dict[str, Any] | None:
    """Return the same of the checkout that the module of a search space belongs to, if git keeps that file.

    Args:
        name: Of a space that is imported: that of an entry point, or "package.module:attribute".
    """
    if ":" not in name:
        name = next((point.value for point in entry_points(group="nas.search_spaces", name=name)), name)
    file = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    kept = _git(path.parent, "ls-files", "--error-unmatch", path.name)
    return None if kept is None else _state(path.parent)


def _state(folder: Path) -> dict[str, Any] | None:
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changes is None else {"commit": commit, "changed": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None where it is not there, fails or takes too long."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
