import io

import pandas as pd
import pytest

from nas.results import load, write_tables
from nas.results.write import to_csv
from nas.spec import ArchSpec

pytest.importorskip("nas.models.scaling")


def files(folder):
    names = ("trials.csv", "pareto.csv", "S.json", "M.json", "L.json", "family.md")
    return {name: (folder.path / name).read_bytes() for name in names}


def test_all_tables_are_written_and_rebuilt_alike_from_the_journal(searched):
    write_tables(searched, searched.read_study(), searched.manifest)
    first = files(searched)
    for name in first:
        (searched.path / name).unlink()
    write_tables(searched, searched.read_study(), searched.manifest)
    assert files(searched) == first
    assert not list(searched.path.glob(".*.partial"))


def test_tables_show_what_load_gives(searched):
    write_tables(searched, searched.read_study(), searched.manifest)
    run = load(searched.path)
    assert pd.read_csv(searched.trials_path)["number"].tolist() == run.trials["number"].tolist()
    assert pd.read_csv(searched.pareto_path)["number"].tolist() == run.pareto["number"].tolist()
    for size, spec in run.family().items():
        assert ArchSpec.load(searched.arch_path(size)) == spec
    page = searched.family_path.read_text()
    assert page.startswith("# Family found in small on formula\n")
    assert all(f"\n## {size}\n" in page for size in "SML")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t@"])
def test_texts_that_a_spreadsheet_would_run_are_guarded(searched, start):
    frame = load(searched.path).trials
    frame["fail_reason"] = pd.array([f"{start}cmd()", *["plain - text"] * (len(frame) - 1)], dtype="string")
    again = pd.read_csv(io.StringIO(to_csv(frame)))
    assert again["fail_reason"][0] == f"'{start}cmd()"
    assert again["fail_reason"][1] == "plain - text"
    assert frame["fail_reason"][0] == f"{start}cmd()", "the table itself is not changed"
