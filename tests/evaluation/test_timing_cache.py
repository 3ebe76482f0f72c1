import json
import multiprocessing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import InvalidInputError
from nas.evaluation.timing_cache import TimingCache

KEY = {"network": "0123456789abcdef", "batch_size": 64, "driver": None, "momentum": True}
TIMING = {"step_time_s": 0.021, "num_timing_blocks": 5, "peak_memory_bytes": None, "exclusive": True}


def key(number):
    return {**KEY, "network": f"{number:016x}"}


def timing(number):
    return {**TIMING, "step_time_s": number / 7}


def filled(path, count=6):
    cache = TimingCache(path)
    for number in range(count):
        cache.put(key(number), timing(number))
    return path


def test_what_was_put_is_got_here_and_elsewhere(tmp_path):
    cache = TimingCache(tmp_path / "timings.jsonl")
    assert cache.get(KEY) is None
    cache.put(KEY, TIMING)
    assert cache.get(KEY) == TIMING
    assert cache.get(dict(reversed(KEY.items()))) == TIMING
    other = TimingCache(cache.path)
    assert other.get(KEY) == TIMING
    other.put(key(3), timing(3))
    assert cache.get(key(3)) == timing(3)
    cache.put(KEY, timing(9))
    assert other.get(KEY) == timing(9), "the last one counts"


@given(st.sampled_from(sorted(KEY)), st.none() | st.integers() | st.text(max_size=3) | st.booleans())
def test_a_key_that_differs_in_anything_finds_nothing(tmp_path_factory, name, value):
    cache = TimingCache(filled(tmp_path_factory.mktemp("cache") / "timings.jsonl", 0))
    cache.put(KEY, TIMING)
    same = json.dumps(KEY[name]) == json.dumps(value)
    assert cache.get({**KEY, name: value}) == (TIMING if same else None)
    assert cache.get({**KEY, "more": value}) is None
    assert cache.get({k: v for k, v in KEY.items() if k != name}) is None


@given(st.data())
def test_damage_is_passed_over_and_never_believed(tmp_path_factory, data):
    path = filled(tmp_path_factory.mktemp("cache") / "timings.jsonl")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    cache = TimingCache(path)
    for number in range(6):
        assert cache.get(key(number)) in (None, timing(number))
    cache.put(key(77), timing(77))
    assert cache.get(key(77)) == timing(77)
    assert TimingCache(path).get(key(77)) == timing(77)


@given(st.binary(max_size=200))
def test_a_file_of_anything_is_no_timing(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("cache") / "timings.jsonl"
    path.write_bytes(content + b"\n" + b"[" * 5000 + b"\n")
    assert TimingCache(path).get(KEY) is None


def test_a_torn_last_line_loses_itself_alone(tmp_path):
    path = filled(tmp_path / "timings.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    cache = TimingCache(path)
    assert cache.get(key(5)) is None
    cache.put(KEY, TIMING)
    assert cache.get(KEY) == TIMING
    assert all(cache.get(key(number)) == timing(number) for number in range(5))


def test_only_what_was_appended_is_read(tmp_path):
    path = filled(tmp_path / "timings.jsonl")
    cache = TimingCache(path)
    cache.get(KEY)
    size = path.stat().st_size
    path.write_bytes(b"#" * (size - 1) + b"\n")  # what was read is not read again
    TimingCache(path).put(KEY, TIMING)
    assert cache.get(key(0)) == timing(0)
    assert cache.get(KEY) == TIMING
    path.write_bytes(b"")  # a file that shrank is another file
    assert cache.get(key(0)) is None


def _put_many(path, first):
    cache = TimingCache(path)
    for number in range(first, first + 200):
        cache.put(key(number), timing(number))


def test_several_processes_append_without_loss(tmp_path):
    path = tmp_path / "timings.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put_many, args=(path, 1000 * index)) for index in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    cache = TimingCache(path)
    assert all(cache.get(key(1000 * i + n)) == timing(1000 * i + n) for i in range(3) for n in range(200))


def test_a_place_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    cache = TimingCache(tmp_path / "missing" / "timings.jsonl")
    cache.put(KEY, TIMING)
    assert cache.get(KEY) is None
    assert "cannot be kept" in caplog.text
    with pytest.raises(InvalidInputError, match="`timings` must be a file"):
        TimingCache(tmp_path)
