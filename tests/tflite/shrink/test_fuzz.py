"""Damaged files through `inspect` and `shrink`: no crash of ours, no hang, no output from what the runtime cannot run."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from edgecompress.inspection import has_tflite_content

WORKER = Path(__file__).with_name("fuzz_worker.py")
CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGFPE, -signal.SIGBUS, -signal.SIGILL}  # of the runtime, in native code


def fuzz(files, number, folder, seed):
    """What came of each file; the worker is started again behind one that took it along."""
    found, first, out = Counter(), 0, folder / "out.tflite"
    while first < number:
        command = [sys.executable, str(WORKER), ",".join(map(str, files)), str(seed), str(first), str(number), str(out)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
        for line in ended.stdout.splitlines():
            if line.startswith("begin "):
                first = int(line.split()[1]) + 1
            else:
                assert not line.startswith("fault"), f"seed {seed}, file {first - 1}: {line}"
                found[line] += 1
        if first < number or ended.returncode:
            assert ended.returncode in CRASHES, f"seed {seed}, file {first - 1}: exit code {ended.returncode}: {ended.stderr[-2000:]}"
            assert not out.exists()
            found["crashed the runtime"] += 1
    return found


def small_files(data_folder, limit):
    paths = (path for path in sorted(data_folder.rglob("*")) if path.is_file() and 100 < path.stat().st_size < limit)
    return [path for path in paths if has_tflite_content(path) and path.name != "conv_huge_im2col.bin"]


def test_a_thousand_damaged_files(data_folder, tmp_path):
    found = fuzz(small_files(data_folder, 6_000), 1000, tmp_path, seed=1)
    assert found.total() == 1000
    assert found["refused"] > 200
    assert found["shrunk"] > 0  # damage to names and weights leaves a good file


@pytest.mark.full
def test_twenty_thousand_damaged_files(data_folder, tmp_path):
    assert fuzz(small_files(data_folder, 60_000), 20_000, tmp_path, seed=2).total() == 20_000
