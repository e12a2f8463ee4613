"""Which paths a benchmark takes, before anything is measured."""

import os
import threading
from contextlib import contextmanager

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from rich.console import Console

import edgecompress as ec
from edgecompress.benchmarking import Measurement, benchmark_operators, benchmark_path, benchmark_table, steps_on
from edgecompress.bundle import model_bundle
from edgecompress.cli import main
from edgecompress.device.turn import turn
from edgecompress.errors import DataError, ModelError
from edgecompress.host_benchmark import benchmark_places, measure_here
from edgecompress.progress import Bar, Progress
from edgecompress.report.schema import BenchmarkEntry


def empty_file():
    """A .tflite of one subgraph without tensors and operators."""
    model, builder = schema.ModelT(), flatbuffers.Builder(64)
    model.version, model.subgraphs = 3, [schema.SubGraphT()]
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


TFLITE = empty_file()


@pytest.fixture
def measured(monkeypatch):
    """What would have been measured: (models, golden) of each call."""
    calls = []

    def benchmark_models(models, *, golden, **_):
        calls.append((dict(models), golden))
        return []

    monkeypatch.setattr("edgecompress.benchmarking.benchmark_models", benchmark_models)
    return calls


def measure(path):
    return benchmark_path(path, Measurement(threads=[1], runs=50), Progress())


def test_content_counts_not_the_name(tmp_path, measured):
    (tmp_path / "model.bin").write_bytes(TFLITE)
    measure(tmp_path / "model.bin")
    assert measured == [({"model": tmp_path / "model.bin"}, {})]  # no golden outputs are known


@pytest.mark.parametrize(("name", "content"), [("m.h5", b"\x89HDF\r\n\x1a\n"), ("m.tflite", b""), ("m.tflite", b"PK\x03\x04 0123456789")])
def test_other_formats_are_bad_input_not_a_failed_device(tmp_path, measured, name, content):
    (tmp_path / name).write_bytes(content)
    for attempt in (measure, lambda path: ec.benchmark({"one": path}, quiet=True)):
        with pytest.raises(ModelError, match=r"must be a \.tflite file\. Received: a file of another format, or a damaged one\."):
            attempt(tmp_path / name)
    assert not measured


def test_missing_path_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nothing: must be a \.tflite file or a run folder\. Received: nothing is there\."):
        measure(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"Received: a folder\."):
        ec.benchmark({"one": tmp_path}, quiet=True)


def test_run_folder_gives_the_files_that_it_has_with_their_golden_outputs(tmp_path, measured):
    for name in ("model.tflite", "baseline.tflite", "golden.npz"):
        (tmp_path / name).write_bytes(TFLITE)
    measure(tmp_path)
    models = {"final": tmp_path / "model.tflite", "baseline": tmp_path / "baseline.tflite"}
    assert measured == [(models, {"final": tmp_path / "golden.npz"})]


def test_other_folder_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"a run folder must hold model\.tflite, .* Received: none of them\."):
        measure(tmp_path)


def test_table_shows_names_and_reasons_as_they_are():
    console = Console(width=200, markup=False)  # as the command line has it
    entry = BenchmarkEntry(model="model [a]", host="local", threads=1, error="refused [b]")
    with console.capture() as capture:
        console.print(benchmark_table([entry]))
    assert "model [a]" in capture.get()
    assert "refused [b]" in capture.get()


def test_longest_time_is_a_day(tmp_path, capsys):
    (tmp_path / "model.tflite").write_bytes(TFLITE)
    assert main(["benchmark", str(tmp_path / "model.tflite"), "--timeout", "inf"]) == 2
    assert "timeout must be from 1 to 86400. Received: inf." in capsys.readouterr().err


@pytest.mark.parametrize("times", [{"timeout_s": float("nan")}, {"timeout_s": 60.0, "minutes": float("nan")}])
def test_time_that_is_no_number_is_bad_input(tmp_path, times):
    (tmp_path / "model.tflite").write_bytes(TFLITE)
    with pytest.raises(DataError, match=r"must be from .*Received: nan\."):
        benchmark_places(tmp_path / "model.tflite", ["local"], Measurement(threads=[1], runs=50, **times), progress=Progress())


class Drawn(Bar):
    """A bar that remembers where it stands."""

    def __init__(self):
        self.at, self.all, self.words = 0, None, []

    def advance(self, amount=1):
        self.at += amount

    def total(self, total):
        self.all = total

    def describe(self, detail):
        self.words.append(detail)


def test_bar_follows_the_steps_of_all_hosts_and_begins_again_with_what_comes_next():
    bar = Drawn()
    show = steps_on(bar)
    show(0, 0, "waits", "pi4")
    assert (bar.at, bar.all) == (0, None)
    show(3, 10, "timing", "pi4")
    show(1, 20, "loading", "pi5")
    assert (bar.at, bar.all, bar.words[-1]) == (4, 30, "pi5: loading")
    show(20, 20, "", "pi5")
    show(1, 4, "timing operators", "pi5")
    assert (bar.at, bar.all) == (4, 14)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """What measures on this machine, by name; `seen` has the names of those that measured."""
    seen = []
    path = tmp_path / "model.tflite"
    path.write_bytes(TFLITE)

    def measured(name, answer):
        return lambda *_, **options: (options["on_progress"](2, 5, "timing"), seen.append(name), answer)[-1]

    monkeypatch.setattr("edgecompress.benchmarking.benchmark_models", measured("files", []))
    monkeypatch.setattr("edgecompress.benchmarking.measure_operators", measured("operators", {}))
    monkeypatch.setattr("edgecompress.host_benchmark.measure_bundle", measured("bundle", {"benchmark": []}))
    bundle = model_bundle(path)
    return seen, {
        "files": lambda progress: benchmark_path(path, Measurement(threads=[1], runs=50), progress),
        "operators": lambda progress: benchmark_operators(path, threads=1, progress=progress),
        "bundle": lambda progress: measure_here(bundle, Measurement(), progress),
    }


class Told(Progress):
    """Lines and tasks as they come."""

    def __init__(self):
        self.lines, self.tasks, self.bar, self.is_told = [], [], Drawn(), threading.Event()

    @contextmanager
    def task(self, name, total=None):
        self.tasks.append(name)
        self.is_told.set()
        yield self.bar

    def say(self, line):
        self.lines.append(line)


@pytest.mark.parametrize("place", ["files", "operators", "bundle"])
def test_benchmark_waits_for_another_on_this_machine_and_says_for_whom(places, place):
    seen, doors = places
    progress = Told()
    with turn(limit_s=600, on_wait=lambda: None):
        second = threading.Thread(target=doors[place], args=[progress])
        second.start()
        assert progress.is_told.wait(10)
        assert progress.tasks == progress.lines
        assert progress.lines[0].startswith(f"waiting for another benchmark on this machine: process {os.getpid()} (")
        assert not seen
    second.join(10)
    assert seen == [place]
    assert (progress.bar.at, progress.bar.all) == (2, 5)


@pytest.mark.parametrize(("wrong", "words"), [({"runs": 0}, "runs"), ({"threads": []}, "threads"), ({"kernels": []}, "kernels")])
def test_settings_that_measure_nothing_are_not_taken_for_the_defaults(tmp_path, wrong, words):
    (tmp_path / "model.tflite").write_bytes(TFLITE)
    with pytest.raises(ValueError, match=f"{words} must be"):
        ec.benchmark(tmp_path / "model.tflite", quiet=True, **wrong)
