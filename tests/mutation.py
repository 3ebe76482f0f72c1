"""Files that are damaged at random, or edited by somebody who means harm."""

import json
import random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 10**400, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), "", "x", "\ud800", "\x00", "a\nb", "../../outside", "=1+1", "<script>", "9" * 5000),
    *("journal:///", "sqlite:///outside.db", "1e999", "/dev/null", [], {}, [[]], [None], {"a": 1}, {"": {}}, ["x"] * 3),
)
"""What stands where something else should."""
_WORDS = (b"null", b"{}", b"[", b'"', b"\\ud800", b"1e999", b"-", b"NaN", b"\n", b"\x00", b"\xff\xfe", b"[" * 3000)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Damage a file in one to four places: bits, spans that are lost, doubled, or replaced, and ends that are torn."""
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(damaged) + 1)
        end = min(len(damaged), at + int(rng.paretovariate(0.7)))
        kind = rng.randrange(6)
        if kind == 0 and at < len(damaged):
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del damaged[at:end]
        elif kind == 2:
            damaged[at:at] = damaged[at:end]
        elif kind == 3:
            damaged[at:end] = rng.randbytes(end - at)
        elif kind == 4:
            damaged[at:at] = rng.choice(_WORDS)
        elif rng.random() < 0.3:
            del damaged[at:]
    return bytes(damaged)


def mutate_json(text: str, rng: random.Random) -> bytes:
    """Edit one to three places of a JSON document: values, keys, lengths."""
    plain = json.loads(text)
    for _ in range(rng.randint(1, 3)):
        holder = _descend(plain, rng)
        if isinstance(holder, dict):
            _edit_object(holder, rng)
        elif isinstance(holder, list):
            _edit_list(holder, rng)
        else:
            plain = rng.choice(HOSTILE)
    return _dump(plain)


def mutate_lines(text: str, rng: random.Random) -> bytes:
    """Edit one to three lines of a file of JSON lines; lines are also lost, doubled and moved."""
    lines = [line.encode() for line in text.splitlines()]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        kind = rng.randrange(8)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(rng.randrange(len(lines)), lines[at])
        elif kind == 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            try:
                lines[at] = mutate_json(lines[at].decode(), rng)
            except ValueError:  # It holds what an earlier edit has put there.
                continue
    return b"\n".join(lines) + b"\n"


def _descend(plain: Any, rng: random.Random) -> Any:
    """Return an object or a list of the document, at any depth."""
    while True:
        inner = list(plain.values()) if isinstance(plain, dict) else plain if isinstance(plain, list) else []
        inner = [each for each in inner if isinstance(each, dict | list) and each]
        if not inner or rng.random() < 0.3:
            return plain
        plain = rng.choice(inner)


def _edit_object(holder: dict[str, Any], rng: random.Random) -> None:
    keys = [*holder, "unknown"]
    key, kind = rng.choice(keys), rng.randrange(4)
    if kind == 0:
        holder.pop(key, None)
    elif kind == 1:
        holder[rng.choice(keys)] = holder.get(key)
    else:
        holder[key] = rng.choice(HOSTILE)


def _edit_list(holder: list[Any], rng: random.Random) -> None:
    at, kind = rng.randrange(len(holder) + 1), rng.randrange(3)
    if kind == 0:
        del holder[at : at + 1]
    elif kind == 1:
        holder[at:at] = holder[at : at + 1] * rng.choice((1, 2, 300))
    else:
        holder[at : at + 1] = [rng.choice(HOSTILE)]


def _dump(plain: Any) -> bytes:
    try:
        return json.dumps(plain).encode()
    except ValueError:  # Python refuses to print integers of thousands of digits; nobody else does.
        return b'{"format":' + b"9" * 5000 + b"}"
