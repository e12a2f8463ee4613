"""A run, and its bundle as a board has it."""

import shutil
import zipfile
from pathlib import Path

import pytest

from edgecompress.cli import main


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy of it that a test may change."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.fixture
def unpacked(run, tmp_path):
    """The folder where its bundle was unpacked."""
    assert main(["bundle", str(run), "-o", str(tmp_path / "bundle.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path / "board")
    return tmp_path / "board"
