"""A recipe file, and stand-ins for the work behind a command."""

import sys
import types
from pathlib import Path

import pytest

RECIPE = """\
name: small
data: {source: digits}
model: {source: builder, name: cnn, train: {epochs: 1}}
stages:
  - prune_weights: {id: cut, sparsity: 0.6, train: {epochs: 3}}
  - quantize_aware: {train: {epochs: 2}}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return str(path)


@pytest.fixture
def finished(monkeypatch):
    """Replaces the run: `finished(goals=..., benchmark=..., error=..., report=...)`, then what `run` was called with."""
    calls = []

    def replace(goals=(), benchmark=(), error=None, report=None):
        def run_recipe(recipe, **options):
            calls.append((recipe, options))
            if error is not None:
                raise error
            return types.SimpleNamespace(
                folder=Path("runs/small"), report=types.SimpleNamespace(goals=goals, benchmark=benchmark, model_dump=lambda mode: report)
            )

        monkeypatch.setattr("edgecompress.runs.run_recipe", run_recipe)
        monkeypatch.setattr("edgecompress.report.summary_table", lambda report: "the table")
        return calls

    return replace


@pytest.fixture
def module(monkeypatch):
    """Replaces a module of the package by functions: `module("plan", plan=..., plan_table=...)`."""

    def replace(name, **functions):
        stand_in = types.ModuleType(f"edgecompress.{name}")
        vars(stand_in).update(functions)
        monkeypatch.setitem(sys.modules, f"edgecompress.{name}", stand_in)

    return replace
