"""A board that only a configuration of its own reaches is reached by everything that takes a recipe."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import edgecompress as ec
from edgecompress.backend import keras
from edgecompress.cli import main
from edgecompress.progress import Progress
from edgecompress.search.run import SearchOptions, _run_chosen


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "ssh.config"
    path.write_text("Host pi4\n  Port 2222\n")
    return path


@pytest.fixture
def reached(monkeypatch):
    """With which configuration runs were made."""
    seen = []
    monkeypatch.setattr("edgecompress.runs.run_recipe", lambda *_, ssh_config, **__: seen.append(ssh_config))
    monkeypatch.setattr("edgecompress.runs.run_in", lambda store, *_, ssh_config, **__: seen.append(ssh_config) or ec.Run(store.path, None))
    return seen


def test_runs_take_it(space_file, config, reached):
    ec.run(space_file, ssh_config=str(config), quiet=True)
    ec.run(space_file, quiet=True)
    model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
    ec.compress(model, (np.zeros((20, 3), np.float32), np.arange(20) % 2), ssh_config=config, quiet=True)
    assert reached == [config, None, config]


def test_searches_take_it(space_file, config, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "edgecompress.search.run.search_recipe", lambda recipe, options, progress: asked.append(options) or SimpleNamespace()
    )
    ec.run_search(space_file, ssh_config=str(config), quiet=True)
    assert main(["search", str(space_file), "--worker", "--quiet", "--ssh-config", str(config)]) == 0
    assert [options.ssh_config for options in asked] == [config, config]


def test_run_of_the_chosen_recipe_takes_it(space_text, config, reached, tmp_path):
    (tmp_path / "chosen.yaml").write_text(space_text)
    _run_chosen(None, SimpleNamespace(choice=None), Path(tmp_path), None, SearchOptions(ssh_config=config), Progress())
    assert reached == [config]
