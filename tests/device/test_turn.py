"""One benchmark at a time, however it was started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgecompress.device.__main__ import main
from edgecompress.device.fault import DeviceFault
from edgecompress.device.turn import holder, turn

DOOR = Path(__file__).parents[2] / "scripts" / "benchmark_device.py"
NAME = f"\0edgecompress-test-{os.getpid()}"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no such lock")


def test_holder_is_named_and_nobody_is_after_it():
    assert holder(NAME) == "unknown"
    with turn(limit_s=1, on_wait=lambda: None, name=NAME):
        for _ in range(200):  # more than may wait in line
            said = holder(NAME)
        assert said in ("unknown", f"process {os.getpid()} ({Path('/proc/self/comm').read_text().strip()})")
    assert holder(NAME) == "unknown"


def test_wait_has_an_end_and_is_said_once():
    said = []

    def second():
        with turn(limit_s=1, on_wait=lambda: said.append(holder(NAME)), name=NAME):
            pytest.fail("it was not alone")

    with turn(limit_s=1, on_wait=lambda: None, name=NAME), pytest.raises(DeviceFault, match="did not end within 1 s"):
        second()
    assert len(said) == 1
    assert said[0].startswith(f"process {os.getpid()} (")


def test_bad_settings_need_no_turn(tiny_file, capsys):
    with turn(limit_s=600, on_wait=lambda: None):
        assert main(["benchmark", tiny_file("double"), "--runs", "3"]) == 2
    assert capsys.readouterr().err == "error: runs must be at least 50. Received: 3\n"


def test_benchmark_by_hand_waits_and_says_for_whom(tiny_file):
    with turn(limit_s=600, on_wait=lambda: None):
        command = [sys.executable, str(DOOR), tiny_file("double"), "--runs", "50"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as door:
            words = door.stderr.readline()
            assert words.startswith(f"waiting for another benchmark on this machine: process {os.getpid()} (")
            assert door.poll() is None
            door.kill()
