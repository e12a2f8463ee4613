"""Nothing is timed while something trains."""

import select
import subprocess
import sys
import textwrap

import pytest

from edgecompress.lease import WAITS

HOLD = """
    import sys
    from edgecompress import lease
    say = lambda line: print(line, flush=True)
    with lease.measuring(say) if sys.argv[1] == "measuring" else lease.training():
        say("held")
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


def says(process, seconds=10):
    return process.stdout.readline().strip() if select.select([process.stdout], [], [], seconds)[0] else None


def test_trainings_share_and_a_measurement_waits_for_all_of_them(hold):
    first, second = hold("training"), hold("training")
    assert says(first) == says(second) == "held"
    measurement = hold("measuring")
    assert says(measurement) == WAITS  # it may take long, so it is told
    assert says(measurement, 0.5) is None
    late = hold("training")  # does not overtake the measurement
    assert says(late, 0.7) is None
    first.kill()
    second.stdin.close()
    assert says(measurement) == "held"
    assert says(late, 0.3) is None
    measurement.kill()
    assert says(late) == "held"


def test_a_measurement_that_waits_for_another_and_then_for_a_training_says_so_once(hold):
    training = hold("training")
    assert says(training) == "held"
    first = hold("measuring")
    assert says(first) == WAITS
    second = hold("measuring")
    assert says(second) == WAITS
    first.kill()
    assert says(second, 0.7) is None
    training.kill()
    assert says(second) == "held"
