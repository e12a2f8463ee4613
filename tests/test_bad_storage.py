"""A disk that is really full or read-only: a small file system in memory, mounted for the test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parent / "small_recipe.yaml"


@pytest.fixture
def mounted(tmp_path):
    """Mounts a tmpfs with the given options; left out, and counted, where the tests may not mount."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True).returncode:
            pytest.skip("needs the right to mount a file system (root)")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


def run_on(folder):
    settings = ["stages=[]", "model.train.epochs=1", "benchmark=null"]
    command = [sys.executable, "-m", "edgecompress", "run", str(RECIPE), "--quiet", "--out", str(folder / "run")]
    command += [word for setting in settings for word in ("--set", setting)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_full_disk_is_one_clear_line_and_leaves_no_half_file(mounted):
    folder = mounted("size=24k")
    done = run_on(folder)
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("*.tflite"))


def test_read_only_disk_is_one_clear_line(mounted):
    folder = mounted("size=1m")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    done = run_on(folder)
    assert done.returncode == 2, done.stderr
    assert "the file system is read-only" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(folder) == []
