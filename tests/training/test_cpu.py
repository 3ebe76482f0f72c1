"""What is set for a process stays set, so every case runs in a process of its own."""

import platform

import pytest

from tests.running import start

_FAULTS = """
import resource, sys, torch
from nas.training.cpu import keep_freed_memory, prepare_cpu
if sys.argv[1] == "kept":
    prepare_cpu(num_threads=1)
    assert keep_freed_memory() and torch.get_num_threads() == 1

def work():
    blocks = [torch.ones(2**24) for _ in range(4)]

for _ in range(5):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_that_was_freed_is_not_faulted_in_again():
    faults = {}
    for case in ("default", "kept"):
        out, err = start("-c", _FAULTS, case).communicate(timeout=120)
        assert out, err
        faults[case] = int(out)
    assert faults["kept"] < 1000 < faults["default"]


def test_threads_are_left_alone_unless_given():
    code = """
import torch
from nas.training.cpu import prepare_cpu
torch.set_num_threads(2)
prepare_cpu()
print(torch.get_num_threads())
"""
    out, err = start("-c", code).communicate(timeout=120)
    assert out.strip() == "2", err
