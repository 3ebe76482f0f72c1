"""Where candidates are evaluated, as settings say it: a cluster's address, sizes of memory, lists of GPUs."""

import re

from nas.errors import invalid

_ADDRESS = re.compile(r"(ray://)?([\w.-]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?")
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def check_cluster(address: str) -> None:
    """Raise InvalidInputError unless `address` is local, auto, host:port or ray://host:port."""
    found = _ADDRESS.fullmatch(address)
    if address not in ("local", "auto") and (found is None or not 0 < int(found[3]) < 2**16):
        todo = "A cluster's head says its own when it starts, for example 10.0.0.5:6379."
        raise invalid("cluster", "local, auto, HOST:PORT or ray://HOST:PORT", address, todo)


def parse_bytes(name: str, text: str) -> int:
    """Return how many bytes a size is, for example "4GiB", "500MB" or "1073741824".

    Args:
        name: What messages call the setting.
        text: A number above 0 and perhaps a unit.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS.get(found[2] or "", 1)) if found else 0
    if size < 1:
        raise invalid(name, "a size in bytes, such as 4GiB or 500MB", text, "Give a number and a unit.")
    return size


def parse_devices(text: str) -> tuple[int, ...]:
    """Return the indices in a list of GPUs such as "cuda:0,cuda:2"."""
    names = [name.strip() for name in text.split(",")]
    if not all(re.fullmatch(r"cuda:\d{1,4}", name) for name in names):
        raise invalid("devices", "GPUs with a comma between", text, "Write them like cuda:0,cuda:1.")
    indices = tuple(int(name.removeprefix("cuda:")) for name in names)
    if len(set(indices)) < len(indices):
        raise invalid("devices", "named once each", text, "For two workers on each, set --workers.")
    return indices
