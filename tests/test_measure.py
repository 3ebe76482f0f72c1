"""`python -m nas.measure`, on networks that take moments."""

import io
import json

import pandas as pd
import pytest
from rich.console import Console

from nas.complexity import complexity
from nas.config import MeasureSettings
from nas.measure import main, measure
from tests.running import refusal
from tests.stripes import space


@pytest.fixture(scope="module")
def arch(tmp_path_factory):
    path = tmp_path_factory.mktemp("arch") / "S.json"
    space.reference.save(path)
    return str(path)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, arch):
    folder = tmp_path_factory.mktemp("out")
    settings = MeasureSettings(
        archs=(arch, "torchvision:squeezenet1_1", arch),
        batch_size=4,
        image_size=32,
        num_classes=10,
        csv=folder / "steps.csv",
    )
    return settings, measure(settings, Console(file=io.StringIO()))


def test_a_row_for_each_network_in_the_order_asked_for(measured):
    settings, frame = measured
    assert frame["network"][1] == settings.archs[1]
    assert len(frame) == 3


def test_times_have_units_and_lie_in_their_intervals(measured):
    _, frame = measured
    assert (frame["step_time_low_s"] <= frame["step_time_s"]).all()
    assert (frame["step_time_s"] <= frame["step_time_high_s"]).all()
    assert (frame["relative_step_time_low"] <= frame["relative_step_time_high"]).all()
    times = [name for name in frame.columns if "time" in name and not name.startswith("relative")]
    assert all(name.endswith("_s") for name in times if frame[name].dtype == float)


def test_the_first_network_is_the_reference(measured):
    _, frame = measured
    # The same network twice: whatever the machine does, the medians' intervals are around 1.
    assert frame["relative_step_time"][0] == pytest.approx(1, rel=0.5)
    assert frame["relative_step_time"][2] == pytest.approx(1, rel=0.5)


def test_counts_are_those_of_the_network(measured):
    _, frame = measured
    expected = complexity(space.reference, num_classes=10, in_channels=3, image_size=32)
    assert (frame["num_params"][0], frame["num_macs"][0]) == (expected.num_params, expected.num_macs)


def test_the_file_holds_the_table(measured):
    settings, frame = measured
    pd.testing.assert_frame_equal(pd.read_csv(settings.csv), frame)


def test_json_is_all_that_stdout_gets(arch, measured, capsys):
    assert main([arch, "--batch-size", "2", "--image-size", "32", "--num-classes", "10", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["networks"]
    assert list(row) == measured[1].columns.tolist()
    assert row["network"] == measured[1]["network"][0]
    assert (row["relative_step_time"] > 0, row["num_params"]) == (True, measured[1]["num_params"][0])


def test_inference_is_timed_at_batch_size_one(arch, capsys):
    assert main([arch, "--inference", "--batch-size", "1", "--image-size", "32", "--num-classes", "10"]) == 0
    printed = capsys.readouterr().out
    assert "Inference step on" in printed
    assert "1 x 32 px" in printed


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "ARCH"),
        (["resnet"], "arch"),
        (["torchvision:resnet18", "--in-channels", "1"], "in_channels"),
        (["efficientnet_v2_b0", "--batch-size", "1"], "batch_size"),
        (["efficientnet_v2_b0", "--image-size", "4"], "image_size"),
        (["efficientnet_v2_b0", "--device", "cuda:99"], "device"),
        (["efficientnet_v2_b0", "--mode", "cuda-graph", "--device", "cpu"], "mode"),
        (["efficientnet_v2_b0", "--threads", "0"], "threads"),
        (["efficientnet_v2_b0", "--csv", "no/such/folder/steps.csv"], "csv"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(flags, said, capsys):
    line = refusal(main, flags, capsys)
    assert line.startswith("error: `")
    assert said in line
