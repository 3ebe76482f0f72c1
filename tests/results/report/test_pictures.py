import shutil

from PIL import Image

from nas.results import load
from nas.results.report import write_pictures
from tests.results.report.conftest import make_run

NAMES = {"front_step_time", "front_params", "hypervolume", "rewards", "choices", "costs", "importances"}


def test_every_chart_becomes_a_picture_with_something_on_it(synthetic_run, tmp_path):
    written = write_pictures(synthetic_run, tmp_path)
    assert {path.stem for path in written} == {path.stem for path in tmp_path.iterdir()} == NAMES
    for path in written:
        with Image.open(path) as image:
            assert image.width > 1000
            assert len(image.convert("RGB").getcolors(1 << 20)) > 20


def test_a_run_without_a_measured_candidate_has_no_pictures(tmp_path):
    run = load(make_run(tmp_path / "run", 0, num_failed=1).path)
    assert write_pictures(run, tmp_path) == []
    shutil.rmtree(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
