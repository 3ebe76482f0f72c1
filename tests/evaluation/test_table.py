import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from nas import InvalidInputError
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.job import Job
from nas.evaluation.table import TableRow, read_table
from nas.space import SearchSpace
from tests.running import ROOT
from tests.synthetic import small_space
from tests.tabular import rows, space, write_table

GOOD = TableRow({"width": 8}, (0.5, 0.6), 10, 20)


def job(params):
    return Job(0, space.decode(params), Fidelity(1, 1), seed=7)


@pytest.fixture
def path(tmp_path):
    return write_table(tmp_path / "table.csv")


def test_every_network_is_looked_up(path):
    look_up = read_table(path, space)()
    for row in rows():
        width, kernel, layers = map(int, row["net"].split("-"))
        found = look_up(job({"width": width, "kernel": kernel, "layers": layers}))
        assert found.accuracy == pytest.approx((row["first"] + row["second"]) / 2)
        # Two values that lie 2d apart have the standard deviation d * sqrt(2), and their mean has the error d.
        assert found.accuracy_stderr == pytest.approx(0.01)
        assert (found.num_params, found.num_macs) == (row["params"], row["macs"])


def test_what_a_table_does_not_say_is_missing(path):
    found = read_table(path, space)()(job({"width": 8, "kernel": 3, "layers": 1})).to_dict()
    for name in ("step_time_s", "relative_step_time", "train_loss", "seed", "device", "step_batch_size"):
        assert found[name] is None
    assert found["train_s"] == found["wall_s"] == 0
    assert found["timing_source"] == "not measured"
    assert found["fidelity"] == "2 trainings of table.csv"


def test_parameters_are_relative_to_the_reference(path):
    reference = {"width": 16, "kernel": 3, "layers": 2}
    assert space.decode(reference).arch_id == space.reference.arch_id
    assert read_table(path, space)()(job(reference)).relative_params == 1


def test_a_table_travels_to_workers(path):
    table = read_table(path, space)
    assert pickle.loads(pickle.dumps(table)) == table


def test_the_digest_follows_the_content(path, tmp_path):
    changed = rows()
    changed[0]["first"] -= 0.001
    changed[1]["first"] -= 0.001
    changed[2]["first"] -= 0.001
    other = write_table(tmp_path / "other.csv", changed)
    assert read_table(path, space).digest == read_table(path, space).digest != read_table(other, space).digest


def test_a_table_of_distinct_networks_is_complete(tmp_path):
    table = [row for row in rows() if not ("-1-2" in row["net"] or "-1-3" in row["net"])]
    assert len(table) == 21
    look_up = read_table(write_table(tmp_path / "table.csv", table), space)()
    assert look_up(job({"width": 8, "kernel": 1, "layers": 3})) == look_up(job({"width": 8, "kernel": 1, "layers": 1}))


def test_a_missing_network_is_named(tmp_path):
    table = [row for row in rows() if row["net"] != "16-5-2"]
    with pytest.raises(InvalidInputError, match=r"every network of space small_tabular, got .* It lacks 16-5-2\."):
        read_table(write_table(tmp_path / "table.csv", table), space)


def test_missing_columns_are_named(tmp_path):
    table = [{name: value for name, value in row.items() if name not in ("first", "macs")} for row in rows()]
    with pytest.raises(InvalidInputError, match=r"the columns net, first, second, .* It lacks first, macs\."):
        read_table(write_table(tmp_path / "table.csv", table), space)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first": "high"}, "line 4.*could not convert"),
        ({"params": ""}, "line 4.*invalid literal"),
        ({"net": "16-3"}, "line 4.*not enough values"),
        ({"net": "16-4-1"}, "line 4.*`kernel` must be one of"),
        ({"first": 1.5}, "line 4.*`accuracies` must be from 0 to 1"),
        ({"second": "nan"}, "line 4.*`accuracies` must be from 0 to 1"),
        ({"params": 0}, "line 4.*at least 1"),
        ({"second": 0.4}, "line 4.*An earlier row differs"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path, changes, message):
    table = rows()
    table[2] |= changes  # width 8, kernel 1, three layers, of which there is one: equal to the two rows before
    with pytest.raises(InvalidInputError, match=message):
        read_table(write_table(tmp_path / "table.csv", table), space)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'net,first\n"' + b"x" * 200_000])
def test_a_file_that_is_no_table(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="`table` must be"):
        read_table(path, space)


def test_a_path_that_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(InvalidInputError, match="`table` must be a readable CSV file"):
            read_table(path, space)


def test_a_space_without_a_table(path):
    with pytest.raises(InvalidInputError, match="`space` must be one whose networks stand in a table, got 'small'"):
        read_table(path, small_space())


def test_a_space_that_no_table_can_hold(path):
    class Wide(type(space)):
        def __init__(self):
            SearchSpace.__init__(self, "wide", {"width": tuple(range(1, 2_000_000))})

    with pytest.raises(InvalidInputError, match="at most 1,000,000 configurations"):
        read_table(path, Wide())


@pytest.mark.parametrize(
    "changes", [{"accuracies": (0.5,)}, {"accuracies": (0.5, -0.1)}, {"num_params": 0}, {"num_macs": -1}]
)
def test_a_row_is_checked(changes):
    with pytest.raises(InvalidInputError):
        replace(GOOD, **changes)


def test_looking_up_needs_no_torch(path):
    code = (
        "import sys; from pathlib import Path; from nas.evaluation.table import read_table; "
        f"from tests.tabular import space; read_table(Path({str(path)!r}), space); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
