"""`python -m nas.scale`, in this process and as a user runs it."""

import io
import json

import pytest
from rich.console import Console

from nas import ArchSpec
from nas.complexity import complexity
from nas.config import ScaleSettings
from nas.models import get_arch
from nas.models.scaling import scale_family
from nas.scale import main, scale
from tests.running import everything_in, exit_code, start
from tests.stripes import space

S = get_arch("efficientnet_v2_s")


@pytest.fixture
def arch(tmp_path):
    path = tmp_path / "S.json"
    space.reference.save(path)
    return path


def quietly(**settings):
    return scale(ScaleSettings(**settings), Console(file=io.StringIO()))


def test_a_family_is_written_by_size(tmp_path):
    out = tmp_path / "out"
    made = quietly(arch="efficientnet_v2_s", sizes=("M", "XL"), out=out)
    assert {path.name for path in out.iterdir()} == {"M.json", "XL.json", "family.md"}
    family = scale_family(S, ("M", "XL"))
    assert {size: ArchSpec.load(out / f"{size}.json") for size in family} == family
    assert made.folder == out
    assert [member.size for member in made.members] == ["M", "XL"]
    assert made.solved is None


def test_limits_in_closed_form(tmp_path):
    made = quietly(arch="efficientnet_v2_s", max_params=50e6, out=tmp_path / "params")
    scaled = ArchSpec.load(tmp_path / "params" / "scaled.json")
    found = complexity(scaled, num_classes=1000, in_channels=3).num_params
    assert 49e6 < found <= 50e6
    assert made.solved.achieved == made.members[1].num_params == found
    assert ArchSpec.load(tmp_path / "params" / "S.json") == S

    made = quietly(arch="efficientnet_v2_s", max_macs=20e9, num_classes=10, out=tmp_path / "macs")
    assert 19.5e9 < made.members[1].num_macs <= 20e9
    found = complexity(made.members[1].spec, num_classes=10, in_channels=3, image_size=S.eval_image_size)
    assert found.num_macs == made.members[1].num_macs


def test_the_image_size_is_that_of_s(arch, tmp_path):
    made = quietly(arch=str(arch), image_size=48, out=tmp_path / "out")
    assert [member.image_sizes for member in made.members] == [(48, 48), (64, 64), (64, 64)]


def test_step_times_are_measured_when_asked_for(arch, tmp_path):
    data = {"num_classes": 3, "in_channels": 3, "device": "cpu", "batch_size": 4}
    made = quietly(arch=str(arch), sizes=("S", "L"), measure=True, out=tmp_path / "sizes", **data)
    assert all(member.times.step_time_s > 0 and member.times.relative_step_time > 0 for member in made.members)
    assert "Step (ms)" in (tmp_path / "sizes" / "family.md").read_text()

    made = quietly(arch=str(arch), max_step_time=3.0, out=tmp_path / "limit", **data)
    assert made.solved.achieved <= 3.0
    assert all(member.times is not None for member in made.members)


def test_the_command_line(arch, tmp_path, capsys):
    assert exit_code(main, [arch, "--max-params", "1e5", "--num-classes", 3, "--out", tmp_path / "out"]) == 0
    printed = capsys.readouterr().out
    assert "Limit 100,000, reached 99," in printed
    assert "below." in printed
    assert (tmp_path / "out" / "scaled.json").exists()


def test_json_is_all_that_stdout_gets(arch, tmp_path, capsys):
    def found(*args):
        assert exit_code(main, [arch, *args, "--num-classes", 3, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    family = found("--sizes", "S", "L", "--out", tmp_path / "family")
    assert list(family["family"]) == list(family["costs"]) == ["S", "L"]
    assert ArchSpec.from_dict(family["family"]["L"]) == ArchSpec.load(tmp_path / "family" / "L.json")
    assert family["limit"] is None
    assert "step_time_s" not in family["costs"]["S"]
    solved = found("--max-params", "1e5", "--out", tmp_path / "limit")
    assert solved["folder"] == str(tmp_path / "limit")
    assert solved["limit"] == {"target": 1e5, "achieved": solved["costs"]["scaled"]["num_params"]}
    timed = ["--sizes", "S", "--measure", "--device", "cpu", "--batch-size", 2, "--out", tmp_path / "timed"]
    assert found(*timed)["costs"]["S"]["step_time_s"] > 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing"], "`arch` must be"),
        (["efficientnet_v2_s", "--sizes", "S", "XXL"], "`sizes` must be among"),
        (["efficientnet_v2_s", "--sizes", "S", "--max-params", "1e9"], "`sizes and max_params` must be given one"),
        (["efficientnet_v2_s", "--max-macs", "1e9", "--max-params", "1e9"], "`max_params and max_macs` must be"),
        (["efficientnet_v2_s", "--max-params", "1e6"], "`num_params` must be at least 21,458,488"),
        (["efficientnet_v2_s", "--max-params", "nan"], "`max_params` must be above 0 and finite"),
        (["efficientnet_v2_s", "--max-params", "1e300"], "`num_params` must be at most"),
        (["efficientnet_v2_s", "--max-step-time", "1"], "`max_step_time` must be above 1"),
        (["efficientnet_v2_s", "--measure", "--device", "gpu9"], "`device` must be"),
        (["efficientnet_v2_s", "--batch-size", "1"], "`batch_size` must be at least 2"),
        (["efficientnet_v2_s", "--image-size", "4"], "`image_size` must be at least 8"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(args, said, tmp_path, capsys):
    assert exit_code(main, [*args, "--out", tmp_path / "out"]) == 2
    assert said in capsys.readouterr().err
    assert everything_in(tmp_path) == {}


def test_a_folder_with_files_is_left_alone(arch, tmp_path, capsys):
    before = everything_in(tmp_path)
    assert exit_code(main, [arch, "--out", tmp_path]) == 2
    assert "`out` must be new or empty" in capsys.readouterr().err
    assert everything_in(tmp_path) == before


def test_nothing_of_torch_is_imported_where_nothing_is_measured(arch, tmp_path):
    code = "import sys; from nas.scale import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    process = start("-c", code, arch, "--max-params", "1e5", "--num-classes", 3, "--out", tmp_path / "out")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == "False"


def test_help_says_what_there_is():
    out, _ = start("-m", "nas.scale", "--help").communicate(timeout=60)
    assert all(flag in out for flag in ("--sizes", "--max-params", "--max-step-time", "--out"))
