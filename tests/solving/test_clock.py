"""Times come from where a limit says, and from a table as long as nothing depends on their truth."""

from dataclasses import dataclass

import pytest

from edgecompress.errors import DeviceError, ModelError, RecipeError
from edgecompress.latency.table import load_table
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
    """What was measured: (host, threads); a host of `errors` fails: with a file where it has `runs`, else as a whole."""
    calls, errors = [], {}

    def entries(host, threads, times):
        calls.append((host, list(threads)))
        if host in errors:
            words, runs = errors[host]
            return [BenchmarkEntry(model="final", host=host, threads=threads[0], runs=runs, error=words)]
        return [
            BenchmarkEntry(model="final", host=host, threads=count, p50_ms=times[count], p95_ms=2 * times[count], peak_rss_kb=700.0)
            for count in threads
        ]

    monkeypatch.setattr(clocks, "benchmark_files", lambda models, *, threads, runs, progress: entries("local", threads, HERE))
    monkeypatch.setattr(clocks, "benchmark_hosts", lambda files, hosts, wanted, **more: entries(hosts[0], wanted.threads, THERE))
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


@pytest.mark.parametrize(
    ("host", "runs", "kind", "words"),
    [
        ("local", 0, ModelError, "the file does not run on this machine: no int4"),
        ("pi4", 0, ModelError, "the file does not run on pi4: no int4"),
        ("pi4", None, DeviceError, "pi4: no int4"),
    ],
)
def test_file_that_a_machine_does_not_run_is_a_step_that_cannot_run_and_a_host_that_is_away_ends_the_solve(
    tiny, asked, file, host, runs, kind, words
):
    asked[1][host] = "no int4", runs
    with pytest.raises(kind, match=words):
        clock(tiny).read(file)


@pytest.fixture
def pi_table(law_table, tmp_path):
    """The path of a table of the host pi4, with one thread."""
    load_table(law_table).model_copy(update={"host": "pi4"}).save(tmp_path / "pi4.json")
    return tmp_path / "pi4.json"


def test_table_that_no_limit_speaks_of_is_refused(tiny, pi_table):
    with pytest.raises(RecipeError, match="a limit on a time must name the host of the latency table, such as p50_ms=5@pi4"):
        ask(str(tiny), {"metric_drop": 0.01, "p50_ms": 1.0}, latency_table=pi_table)


@pytest.mark.parametrize("name", ["p50_ms", "p95_ms"])
@pytest.mark.parametrize("is_given", [True, False])
def test_threads_of_a_limit_that_the_table_lacks_are_refused_wherever_the_table_is_named(tiny, pi_table, name, is_given):
    goals = {"metric_drop": 0.01, name: {"limit": 1.0, "host": "pi4", "threads": 2}}
    table = {"latency_table": pi_table} if is_given else {"overrides": {"target.latency_table": str(pi_table)}}
    with pytest.raises(RecipeError, match=rf"goal\.{name}\.threads must be one of the latency table's, \[1\]\. Received: 2\."):
        ask(str(tiny), goals, **table)


def test_table_of_the_recipe_may_serve_something_else_than_the_limits(tiny, pi_table):
    ask(str(tiny), {"metric_drop": 0.01, "size_kb": 9.0}, overrides={"target.latency_table": str(pi_table)})
