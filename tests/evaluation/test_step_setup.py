import subprocess
import sys

import pytest

from nas import InvalidInputError
from nas.evaluation.step_setup import StepSetup


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1}, "`step batch_size` must be a whole number of at least 2"),
        ({"batch_size": 0, "kind": "inference"}, "`step batch_size` must be a whole number of at least 1"),
        ({"batch_size": True}, "`step batch_size` must be a whole number"),
        ({"batch_size": 64.0}, "`step batch_size` must be a whole number"),
        ({"image_size": 7}, "`step image_size` must be a whole number from 8"),
        ({"image_size": 10**6}, "`step image_size` must be a whole number from 8"),
        ({"dtype": "fp16"}, "`step dtype` must be one of auto, float32, bfloat16, float16"),
        ({"memory_format": "nhwc"}, "`step memory_format` must be one of channels_last, contiguous"),
        ({"mode": "graph"}, "`step mode` must be one of eager, compile, cuda-graph, got 'graph'"),
        ({"kind": "train"}, "`step kind` must be one of training, inference"),
        ({"mode": "cuda-graph", "dtype": "float16"}, "`step dtype` must be bfloat16 or float32 with cuda-graph"),
    ],
)
def test_steps_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        StepSetup(**changes)


def test_one_image_is_enough_for_inference():
    assert StepSetup(batch_size=1, kind="inference").min_batch_size == 1


def test_a_setup_can_be_made_without_torch():
    code = "import sys, nas.evaluation.step_setup, nas.evaluation.timing_cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
