"""What `nas.results` exports."""

import subprocess
import sys

CODE = """
import importlib, pkgutil, sys, types
import nas.results
assert not {"pandas", "optuna"} & set(sys.modules)
for module in pkgutil.iter_modules(nas.results.__path__):
    importlib.import_module(f"nas.results.{module.name}")
assert dir(nas.results) == sorted(nas.results.__all__)
hidden = [name for name in nas.results.__all__ if isinstance(getattr(nas.results, name), types.ModuleType)]
assert not hidden, hidden
assert "torch" not in sys.modules
"""


def test_every_name_is_there_without_torch_and_hidden_by_no_module():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
