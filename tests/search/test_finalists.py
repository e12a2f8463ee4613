"""What was predicted best is timed for real; a host that does not run one file still times the others."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import edgecompress as ec
from edgecompress.progress import Progress
from edgecompress.report.schema import BenchmarkEntry
from edgecompress.search import finalists
from edgecompress.search.finalists import measure_finalists
from edgecompress.search.findings import Findings, Tried

AWAY = None
CONFIG = Path("ssh.config")


@dataclass
class Table:
    host: str = "pi4"
    threads: tuple[int, ...] = (1,)


@dataclass
class Forecast:
    table: Table
    threads: int = 1


@pytest.fixture
def measured(space_text, tmp_path, monkeypatch):
    """`measured([1.0, "no int4", AWAY])`: the findings after three trials, the best predicted first, gave so many ms, or an error."""
    monkeypatch.setattr(finalists, "predicted_threads", lambda recipe, forecast: [1])

    def measure(answers):
        left = iter(answers)

        def benchmark(path, hosts, measurement, *, ssh_config, progress):
            assert ssh_config == CONFIG
            answer = next(left)
            if answer is AWAY:
                return [BenchmarkEntry(model="final", host=hosts[0], threads=1, error="the host cannot be reached")]
            times = {"error": answer} if isinstance(answer, str) else {"p50_ms": answer}
            return [BenchmarkEntry(model="final", host=hosts[0], threads=1, runs=0 if "error" in times else 200, **times)]

        monkeypatch.setattr(finalists, "benchmark_places", benchmark)
        tried = []
        for number in range(len(answers)):
            file = tmp_path / f"{number}.tflite"
            file.write_bytes(b"")
            values = {"accuracy": 0.9 - 0.1 * number, "latency": 2.0 - 0.1 * number}
            tried.append(Tried(number, "complete", "", {"x": number}, values, {"p50_ms": -0.5}, True, 1.0, 1, "one", str(file)))
        recipe = ec.load_recipe(
            "tiny.yaml", {"goal.p50_ms": {"limit": 4.0, "host": "pi4"}, "benchmark": {"hosts": ["pi4"]}}, text=space_text
        )
        found = Findings("tiny", {"accuracy": True, "latency": False}, {"p50_ms": 4.0}, 3, tried, 0)
        return measure_finalists(recipe, found, Forecast(Table()), Progress(), ssh_config=CONFIG)

    return measure


def test_choice_is_the_best_of_those_that_were_measured(measured):
    found = measured([9.0, 3.0, 1.0])
    assert found.chosen == 1
    assert [trial.misses["p50_ms"] for trial in found.tried] == [1.25, -0.25, -0.75]


def test_file_that_the_host_does_not_run_is_passed_over_with_its_reason_and_the_others_are_measured(measured):
    found = measured(["no int4", 3.0, 1.0])
    assert found.chosen == 1
    first = found.tried[0]
    assert (first.kind, first.reason, first.on_front, first.is_feasible) == (
        "failed",
        "the file does not run on pi4: no int4",
        False,
        False,
    )
    assert [trial.number for trial in found.front] == [1, 2]
    assert [bool(trial.measured) for trial in found.tried] == [False, True, True]


def test_host_that_is_away_leaves_the_predictions(measured):
    found = measured([AWAY, 3.0, 1.0])
    assert (found.chosen, [trial.kind for trial in found.tried]) == (0, ["complete"] * 3)
    assert not any(trial.measured for trial in found.tried)


def test_choice_is_never_a_file_that_the_host_does_not_run(measured):
    assert measured(["no int4", AWAY, 1.0]).chosen == 1
    assert measured(["no int4", "no int4", "no int4"]).chosen is None
