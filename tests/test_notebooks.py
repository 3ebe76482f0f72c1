"""The notebooks: checked in without outputs, and executed as a reader would, each in a folder of its own."""

import os
import sys
from pathlib import Path

import nbformat
import onnxruntime
import pandas as pd
import pytest
from nbclient import NotebookClient
from PIL import Image

import nas.results
from tests.running import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_checked_in_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert {*notebook.metadata} == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.metadata, cell.id
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.id


@pytest.fixture
def kernel_environment(tmp_path, monkeypatch):
    """A kernel of this Python, with this checkout's packages; IPython and Jupyter write nowhere else."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


def shown(notebook, cell_id, kind):
    """Return what a cell of an executed notebook shows, in one of its forms."""
    (cell,) = [cell for cell in notebook.cells if cell.id == cell_id]
    return "".join(output.data.get(kind, "") for output in cell.outputs if "data" in output)


@pytest.mark.usefixtures("kernel_environment")
def test_from_a_search_to_an_exported_network(tmp_path):
    """No cell fails, commands included, and what the text promises is there."""
    notebook, folder = read(ROOT / "examples/search_to_export.ipynb"), tmp_path / "work"
    folder.mkdir()
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()

    run = nas.results.load(folder / "run")
    assert len(run.trials) == 6
    assert len(pd.read_csv(folder / "trained/metrics.csv")) == 3
    images = sorted((folder / "images/test").glob("*/*.png"))
    predictions = pd.read_csv(folder / "predictions.csv")
    assert [folder / path for path in predictions["path"]] == images
    assert pd.read_csv(folder / "evaluated/classes.csv")["num_images"].sum() == len(images) > 100
    assert onnxruntime.InferenceSession(folder / "S.onnx").get_inputs()[0].name == "images"
    with Image.open(folder / "front.png") as picture:
        assert picture.size == (700, 400)

    assert shown(notebook, "load-run", "text/html") == run._repr_html_()
    assert shown(notebook, "show-s", "text/html") == run.family()["S"]._repr_html_()
    assert shown(notebook, "draw-front", "image/png")
    said = "".join(output.text for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output)
    assert f"100.0% of {len(images)} images are taken for the same class" in said
    assert "\x1b" not in said, "a cell cannot redraw lines, nor is it to show how"
