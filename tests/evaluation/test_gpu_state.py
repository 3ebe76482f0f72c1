import importlib.util

import pytest
import torch

from nas.evaluation.gpu_state import driver_version, gpu_state


@pytest.mark.parametrize("name", ["cpu", "meta", "mps"])
def test_other_devices_have_no_state(name):
    assert gpu_state(torch.device(name)) is None
    assert driver_version(torch.device(name)) is None


@pytest.mark.skipif(importlib.util.find_spec("pynvml") is not None, reason="pynvml is installed")
def test_without_pynvml_there_is_none():
    assert gpu_state(torch.device("cuda:0")) is None
    assert driver_version(torch.device("cuda:0")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_tells():
    pytest.importorskip("pynvml")
    found = gpu_state(torch.device("cuda:0"))
    assert found is not None
    assert found.sm_clock_mhz > 0
    assert 0 < found.temperature_celsius < 120
    assert driver_version(torch.device("cuda:0"))
