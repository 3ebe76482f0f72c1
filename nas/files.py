"""Files that are whole at every moment."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes | str) -> None:
    """Write a file in one step, so that a reader, or a kill, never finds half of it.

    Text is written as UTF-8; what that cannot hold (halves of surrogate pairs) is written as escapes.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)  # On a full disk even half a file is too much.
        raise
