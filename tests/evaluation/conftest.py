import pytest
import torch

GPU = pytest.param(
    "cuda:0",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")],
)


@pytest.fixture(params=["cpu", GPU])
def device(request):
    """Everything that measures runs the same on every device."""
    return torch.device(request.param)
