"""Times come from where a limit says, and from a table as long as nothing depends on their truth."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from edgecompress.errors import DeviceError, ModelError
from edgecompress.progress import Progress
from edgecompress.report.schema import BenchmarkEntry
from edgecompress.solving import clock as clocks
from edgecompress.solving.clock import Clock
from edgecompress.solving.question import ask

HERE, THERE = {1: 0.5, 2: 0.3}, {2: 4.0}
GOALS = {"metric_drop": 0.01, "p50_ms": {"limit": 1.0, "threads": 2}, "p95_ms": {"limit": 5.0, "host": "pi4", "threads": 2}}


@dataclass
class Table:
    host: str


@dataclass
class Forecast:
    """Predicts 3 ms, at most 6 ms."""

    table: Table

    def predict(self, content, threads):
        return type("Prediction", (), {"p50_ms": 3.0, "high_ms": 6.0})


@pytest.fixture
def asked(monkeypatch):
    """What was measured: (host, threads); an entry of `errors` fails."""
    calls, errors = [], {}

    def entries(host, threads, times):
        calls.append((host, list(threads)))
        if host in errors:
            return [BenchmarkEntry(model="final", host=host, threads=threads[0], error=errors[host])]
        return [
            BenchmarkEntry(model="final", host=host, threads=count, p50_ms=times[count], p95_ms=2 * times[count], peak_rss_kb=700.0)
            for count in threads
        ]

    monkeypatch.setattr(clocks, "benchmark_files", lambda models, *, threads, runs, progress: entries("local", threads, HERE))
    monkeypatch.setattr(clocks, "benchmark_hosts", lambda files, hosts, *, threads, **more: entries(hosts[0], threads, THERE))
    monkeypatch.setattr(clocks, "model_bundle", lambda path: {})
    return calls, errors


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"")
    return path


def clock(tiny, goals=GOALS, **more):
    return Clock(ask(str(tiny), goals).recipe, Progress(), **more)


def test_each_limit_is_measured_on_its_host_with_its_threads(tiny, asked, file):
    times = clock(tiny).read(file)
    assert asked[0] == [("local", [1, 2]), ("pi4", [2])]
    assert times.measured == {"p50_ms": 0.3, "p95_ms": 8.0}
    assert (times.p50_ms, times.predicted) == (0.5, ())


def test_host_of_a_table_is_not_asked_before_it_is_for_real(tiny, asked, file):
    watch = clock(tiny, forecast=Forecast(Table("pi4")))
    times = watch.read(file)
    assert asked[0] == [("local", [1, 2])]
    assert times.measured == {"p50_ms": 0.3, "p95_ms": 6.0}  # p95: the upper end
    assert times.predicted == ("p95_ms",)
    assert watch.read(file, for_real=True).measured["p95_ms"] == 8.0


def test_table_of_this_machine_leaves_it_alone(tiny, asked, file):
    times = clock(tiny, {"metric_drop": 0.01, "p50_ms": 1.0}, forecast=Forecast(Table("local"))).read(file)
    assert asked[0] == []
    assert times.measured == {"p50_ms": 3.0}


def test_memory_of_the_process_is_measured(tiny, asked, file):
    assert clock(tiny, {"metric_drop": 0.01, "peak_rss_kb": 900.0}).read(file).measured == {"peak_rss_kb": 700.0}


def test_recipe_without_benchmark_times_nothing(tiny, asked, file):
    assert clock(tiny, {"metric_drop": 0.01, "size_kb": 9.0}).read(file).p50_ms is None
    assert asked[0] == []


@pytest.mark.parametrize(("host", "kind"), [("local", ModelError), ("pi4", DeviceError)])
def test_file_that_fails_here_is_a_step_that_cannot_run_and_a_host_that_is_away_ends_the_solve(tiny, asked, file, host, kind):
    asked[1][host] = "gone"
    with pytest.raises(kind, match="gone"):
        clock(tiny).read(file)


def test_table_that_no_limit_speaks_of_is_refused(tiny, monkeypatch):
    from edgecompress.errors import RecipeError

    table = type("Table", (), {"host": "pi4", "threads": [1]})
    monkeypatch.setattr("edgecompress.solving.question.forecast_of", lambda target: type("Forecast", (), {"table": table, "digest": ""}))
    with pytest.raises(RecipeError, match="a limit on a time must name the host of the latency table, such as p50_ms=5@pi4"):
        ask(str(tiny), {"metric_drop": 0.01, "p50_ms": 1.0}, latency_table=Path("t.json"))
    with pytest.raises(RecipeError, match="threads of a limit must be among those of the table"):
        ask(str(tiny), {"metric_drop": 0.01, "p50_ms": {"limit": 1.0, "host": "pi4", "threads": 2}}, latency_table=Path("t.json"))
