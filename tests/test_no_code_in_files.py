"""No file that is read can hold code that is run: read off the source of every module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import ROOT

LOADERS = {"load", "loads", "Unpickler", "read_pickle"}
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FROM_ANOTHER_PROCESS = {"nas/execution/worker.py"}
"""Where a pickle is loaded that came through a pipe from the process that made this one, and from no file."""


def modules() -> list[Path]:
    return sorted(path for package in ("nas", "search_spaces") for path in (ROOT / package).rglob("*.py"))


def called(node: ast.Call) -> tuple[str, str]:
    """Return what a call is of: of `torch.load(...)` "torch" and "load", of `load(...)` "" and "load"."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return ast.unparse(function.value), function.attr
    return "", function.id if isinstance(function, ast.Name) else ""


def names_of_pickles(tree: ast.AST) -> set[str]:
    """Return under which names a module knows modules that unpickle, or their loaders."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.asname or each.name for each in node.names if each.name.split(".")[0] in PICKLES}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            names |= {each.asname or each.name for each in node.names if each.name in LOADERS}
    return names


def keyword(node: ast.Call, name: str) -> object:
    found = next((each.value for each in node.keywords if each.arg == name), None)
    return found.value if isinstance(found, ast.Constant) else None


def dangers(source: str) -> Iterator[str]:
    """Yield the calls of a module that could run code out of a file."""
    tree = ast.parse(source)
    pickles = names_of_pickles(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        owner, name = called(node)
        unpickles = (owner in pickles and name in LOADERS) or (not owner and name in pickles)
        is_torch = owner == "torch" and name == "load" and keyword(node, "weights_only") is not True
        is_numpy = owner in ("np", "numpy") and name == "load" and keyword(node, "allow_pickle") is not False
        runs = not owner and name in ("eval", "exec")
        if unpickles or is_torch or is_numpy or runs or name == "read_pickle":
            yield ast.unparse(node)


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import pickle\npickle.loads(text)",
        "import pickle as p\np.Unpickler(file)",
        "from pickle import load as read\nread(file)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle(path)",
        "eval(text)",
    ],
)
def test_dangers_are_found(source: str) -> None:
    assert len(list(dangers(source))) == 1


def test_what_is_safe_is_no_danger() -> None:
    calls = ("torch.load(path, weights_only=True)", "json.load(file)", "pickle.dumps(job)", "load(path)")
    safe = "\n".join(("import torch, json, pickle", *calls))
    assert list(dangers(safe)) == []


def test_no_module_runs_code_out_of_a_file() -> None:
    sources = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in modules()}
    assert len(sources) > 200
    found = {name: list(dangers(source)) for name, source in sources.items()}
    assert {name for name, calls in found.items() if calls} == FROM_ANOTHER_PROCESS
    assert found["nas/execution/worker.py"] == ["pickle.loads(pickled_factory)"]
