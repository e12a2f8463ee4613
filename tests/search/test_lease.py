"""Nothing is timed while something trains."""

import subprocess
import sys
import textwrap

import pytest

HOLD = """
    import sys
    from edgecompress.search import lease
    with getattr(lease, sys.argv[1])():
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def hold(monkeypatch, tmp_path):
    """Starts a process that holds a lease, and ends it: `hold("training")`."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    started = []

    def start(kind):
        command = [sys.executable, "-c", textwrap.dedent(HOLD), kind]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def is_held(process, seconds=10):
    import select

    return bool(select.select([process.stdout], [], [], seconds)[0]) and process.stdout.readline() == "held\n"


def test_trainings_share_and_a_measurement_waits_for_all_of_them(hold):
    first, second = hold("training"), hold("training")
    assert is_held(first)
    assert is_held(second)
    measurement = hold("measuring")
    assert not is_held(measurement, 0.7)
    late = hold("training")  # does not overtake the measurement
    assert not is_held(late, 0.7)
    first.kill()
    second.stdin.close()
    assert is_held(measurement)
    assert not is_held(late, 0.3)
    measurement.kill()
    assert is_held(late)
