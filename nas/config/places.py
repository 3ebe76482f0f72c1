"""Where candidates are evaluated, as settings say it: a cluster's address, sizes of memory, lists of GPUs."""

import re

from nas.errors import invalid

_ADDRESS = re.compile(r"(ray://)?([\w.-]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")


def check_cluster(address: str) -> None:
    """Raise InvalidInputError unless `address` is local, auto, host:port or ray://host:port."""
    found = _ADDRESS.fullmatch(address)
    if address not in ("local", "auto") and (found is None or not 0 < int(found[3]) < 2**16):
        todo = "A cluster's head says its own when it starts, for example 10.0.0.5:6379."
        raise invalid("cluster", "local, auto, HOST:PORT or ray://HOST:PORT", address, todo)


def parse_devices(text: str) -> tuple[int, ...]:
    """Return the indices in a list of GPUs such as "cuda:0,cuda:2"."""
    names = [name.strip() for name in text.split(",")]
    if not all(re.fullmatch(r"cuda:\d{1,4}", name) for name in names):
        raise invalid("devices", "GPUs with a comma between", text, "Write them like cuda:0,cuda:1.")
    indices = tuple(int(name.removeprefix("cuda:")) for name in names)
    if len(set(indices)) < len(indices):
        raise invalid("devices", "named once each", text, "For two workers on each, set --workers.")
    return indices
