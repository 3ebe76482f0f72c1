import subprocess
import sys

import pytest
import torch

from nas import InvalidInputError
from nas.evaluation.device import device_name, num_devices, physical_name, resolve_device, resolve_own_device
from nas.training.launch import Launch

HAS_ACCELERATOR = torch.accelerator.is_available()


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_the_cpu_is_always_there(name):
    assert resolve_device(name) == torch.device("cpu")
    assert device_name(resolve_device(name))
    assert num_devices("cpu") >= 1


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:-1", "CPU", "cpu,cuda", "\n"])
def test_names_that_torch_does_not_know(name):
    with pytest.raises(InvalidInputError, match="`device` must be a device name like cpu or cuda:0"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["meta", "cuda:99", "xla", "mps:7"])
def test_devices_that_are_not_here(name):
    with pytest.raises(InvalidInputError, match=r"`device` must be on this machine, got .* This machine has: cpu"):
        resolve_device(name)


def test_messages_use_the_name_of_the_setting():
    for name in ("gpu", "cuda:99"):
        with pytest.raises(InvalidInputError, match="`timing_device` must be"):
            resolve_device(name, "timing_device")


@pytest.mark.skipif(HAS_ACCELERATOR, reason="this machine has an accelerator")
def test_auto_is_the_cpu_where_there_is_nothing_else():
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(InvalidInputError, match="on this machine"):
        resolve_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_auto_is_the_gpu_where_there_is_one():
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:0") == torch.device("cuda:0")
    assert "NVIDIA" in device_name(torch.device("cuda:0"))
    assert num_devices("cuda") == torch.cuda.device_count()


def test_all_processes_call_the_processors_by_one_name():
    assert physical_name(torch.device("cpu")) == physical_name(resolve_device("cpu:0")) == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_known_whatever_it_is_numbered(monkeypatch):
    name = physical_name(torch.device("cuda:0"))
    assert name == physical_name(torch.device("cuda"))
    uuid = name.removeprefix("cuda-")
    code = "import torch; from nas.evaluation.device import physical_name; print(physical_name(torch.device('cuda:0')))"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"GPU-{uuid}")
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == name


def test_processes_of_one_training_share_the_cpu():
    assert resolve_own_device("cpu", Launch(rank=3, local_rank=3, size=4)) == torch.device("cpu")
    with pytest.raises(InvalidInputError, match="`device` must be on this machine"):
        resolve_own_device("cuda:99", Launch(rank=0, local_rank=0, size=4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_processes_of_one_training_have_a_gpu_each():
    num_gpus = torch.cuda.device_count()
    for name in ("auto", "cuda"):
        assert resolve_own_device(name, Launch(0, 0, 2)) == torch.device("cuda:0")
    with pytest.raises(InvalidInputError, match="`device` must be auto, cuda or cpu with several"):
        resolve_own_device("cuda:0", Launch(0, 0, 2))
    with pytest.raises(InvalidInputError, match=f"`nproc-per-node` must be at most {num_gpus}"):
        resolve_own_device("auto", Launch(num_gpus, num_gpus, num_gpus + 1))
