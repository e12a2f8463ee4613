"""The device package stands alone: no TensorFlow, no pydantic, nothing of the rest of edgecompress, old Pythons."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "edgecompress" / "device").glob("*.py"))

BLOCKED = """
import importlib, pkgutil, sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    names = {"tensorflow", "tf_keras", "keras", "pydantic", "yaml", "typer", "rich", "sklearn", "jinja2", "matplotlib", "flatbuffers"}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ImportError(f"{name} must not be imported")

sys.meta_path.insert(0, Blocker())
import edgecompress.device
for module in pkgutil.iter_modules(edgecompress.device.__path__):
    importlib.import_module(f"edgecompress.device.{module.name}")
from edgecompress.device.runtime import TfliteModel
TfliteModel(sys.argv[1])
rest = [name for name in sys.modules if name.startswith("edgecompress.") and not name.startswith("edgecompress.device")]
assert not rest, rest
assert not Blocker.names & set(sys.modules)
"""

ALLOWED = {*sys.stdlib_module_names, "numpy"}


def test_whole_package_imports_and_runs_a_model_without_the_heavy_packages(tiny_file):
    finished = subprocess.run([sys.executable, "-c", BLOCKED, tiny_file("double")], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_imports_are_relative_or_standard_library_or_numpy(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {name.name.split(".")[0] for name in node.names} <= ALLOWED
        if isinstance(node, ast.ImportFrom):
            assert (node.level == 1) if node.level else (node.module.split(".")[0] in ALLOWED)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_sources_are_python_3_9(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    has_annotations = any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(tree))
    assert bool(futures) or not has_annotations  # `X | None` in annotations is never evaluated then
