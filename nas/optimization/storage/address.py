"""Addresses of storages, such as "postgresql://user:password@host/name": what of them may be shown and kept."""

import os
import re

STORAGE_VARIABLE = "NAS_STORAGE"
"""Environment variable with the address of a storage."""
PASSWORD_LEFT_OUT = "***"  # noqa: S105 - what stands in its place
_IN_PLACE = re.compile(r"(://[^/\s:@]*):\S+@")
_IN_QUERY = re.compile(r"([?&][^=&\s]*(?:pass|pwd|secret|token|key)[^=&\s]*=)[^&\s]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return an address, or a command line with one, without its passwords.

    Nothing else of an address is ever printed, logged or written. Where it is hard to tell, more is left out.
    """
    return _IN_QUERY.sub(rf"\1{PASSWORD_LEFT_OUT}", _IN_PLACE.sub(rf"\1:{PASSWORD_LEFT_OUT}@", text))


def complete(url: str) -> str:
    """Return the address that `redacted` made `url` of: if it had a password, it must be in NAS_STORAGE again."""
    given = os.environ.get(STORAGE_VARIABLE)
    return url if given is None or redacted(given) != url else given
