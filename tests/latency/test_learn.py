"""Learning on this machine, part by part: it can be stopped, goes on, and keeps to one machine."""

import json
import math
import re
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

import edgecompress as ec
from edgecompress.cli import main
from edgecompress.errors import DataError, DeviceError
from edgecompress.latency import grid, learn, load_table
from edgecompress.progress import Progress
from edgecompress.remote import Outcome


@pytest.fixture
def few(monkeypatch):
    """A short list of files, in parts of eight."""
    monkeypatch.setattr(learn, "specimens", lambda formats: grid.specimens(formats)[:20])
    monkeypatch.setattr(learn, "PART", 8)
    monkeypatch.setattr(learn, "VISITS", 1)


@pytest.fixture
def instant(monkeypatch):
    """Times without measuring: `calls` holds how many files each part had, `disturbed` the numbers of files whose blocks differ."""
    clock = SimpleNamespace(calls=[], disturbed=set(), refused=set())

    def measure(contents, threads):
        clock.calls.append(len(contents))
        entries = []
        for number, content in enumerate(contents):
            base = 0.001 + 1e-9 * len(content)
            blocks = [base, base, base * (3 if number in clock.disturbed else 1), base * (3 if number in clock.disturbed else 1)]
            error = "it is refused" if number in clock.refused else None
            entries.append({"blocks_ms": [] if error else blocks, "kernels": None if error else "xnnpack", "error": error})
        return entries

    monkeypatch.setattr(learn, "_measure_here", lambda progress: measure)
    return clock


def test_small_files_are_timed_here(few, tmp_path):
    table = ec.learn_latency(tmp_path / "t.json", formats=["int8"], quiet=True)
    assert load_table(tmp_path / "t.json") == table
    assert [row.key for row in table.rows] == [one.key for one in grid.specimens(["int8"])[:20]]
    assert all(row.p50_ms > 0 and row.spread >= 0 and row.error is None for row in table.rows)
    heavy = {row.p50_ms: sum(work.macs for work in row.operators) for row in table.rows}
    assert heavy[max(heavy)] > 100 * heavy[min(heavy)]
    assert table.machine.runtime in ("ai-edge-litert", "tflite-runtime")
    assert (table.host, table.threads, table.formats) == ("local", [1], ["int8"])


def test_killed_call_goes_on_where_it_was(few, instant, tmp_path, monkeypatch):
    measure = learn._measure_here(Progress())

    def killed_in_the_third_part(contents, threads):
        if len(instant.calls) == 2:
            raise KeyboardInterrupt
        return measure(contents, threads)

    monkeypatch.setattr(learn, "_measure_here", lambda progress: killed_in_the_third_part)
    with pytest.raises(KeyboardInterrupt):
        ec.learn_latency(tmp_path / "t.json", quiet=True)
    assert len(load_table(tmp_path / "t.json").rows) == 16
    monkeypatch.setattr(learn, "_measure_here", lambda progress: measure)
    ec.learn_latency(tmp_path / "t.json", quiet=True)
    assert instant.calls == [8, 8, 4]
    assert len(load_table(tmp_path / "t.json").rows) == 20


def test_what_was_disturbed_is_measured_again_and_the_shorter_time_stays(few, instant, tmp_path):
    instant.disturbed = {3}
    first = ec.learn_latency(tmp_path / "t.json", quiet=True)
    restless = [row.key for row in first.rows if row.spread > learn.RESTLESS]
    assert len(restless) == 3  # one of each part
    instant.calls.clear()
    instant.disturbed = set()
    ec.learn_latency(tmp_path / "t.json", quiet=True)
    assert instant.calls == [3]
    ec.learn_latency(tmp_path / "t.json", quiet=True)
    assert len(load_table(tmp_path / "t.json").rows) == 20


def test_each_file_is_visited_again_after_all_others_and_the_least_disturbed_visit_counts(few, instant, tmp_path, monkeypatch):
    monkeypatch.setattr(learn, "VISITS", 2)
    monkeypatch.setattr(learn, "PART", 10)
    measure, factors = learn._measure_here(Progress()), iter([1, 1, 2, 0.5])  # of two parts in two visits

    def unsteady(contents, threads):
        factor = next(factors)
        return [{**one, "blocks_ms": [factor * ms for ms in one["blocks_ms"]]} for one in measure(contents, threads)]

    monkeypatch.setattr(learn, "_measure_here", lambda progress: unsteady)
    ec.learn_latency(tmp_path / "t.json", quiet=True)
    table = load_table(tmp_path / "t.json")
    first = {one.key: 0.001 + 1e-9 * len(one.make()) for one in grid.specimens(["float32", "int8"])[:20]}
    ratios = [row.p50_ms / first[row.key] for row in table.rows]
    assert ratios == pytest.approx([1] * 10 + [0.5] * 10, rel=1e-3)
    assert {row.visits for row in table.rows} == {2}


def test_more_threads_and_formats_are_added(few, instant, tmp_path):
    ec.learn_latency(tmp_path / "t.json", formats=["int8"], quiet=True)
    table = ec.learn_latency(tmp_path / "t.json", formats=["dynamic"], threads=[2], quiet=True)
    assert (table.threads, table.formats) == ([1, 2], ["float32", "int8", "dynamic"])
    assert {row.threads for row in table.rows} == {1, 2}


def test_files_that_the_runtime_refuses_have_a_reason_and_no_time(few, instant, tmp_path):
    instant.refused = {0}
    table = ec.learn_latency(tmp_path / "t.json", quiet=True)
    assert [row.error for row in table.rows if row.p50_ms is None] == ["it is refused"] * 3


def test_time_is_kept_to(few, instant, tmp_path):
    ec.learn_latency(tmp_path / "t.json", minutes=1e-9, quiet=True)
    assert instant.calls == []
    assert load_table(tmp_path / "t.json").rows == []


def test_another_machine_or_host_may_not_add_to_a_table(few, instant, law_table, tmp_path):
    path = tmp_path / "t.json"
    path.write_bytes(law_table.read_bytes())
    with pytest.raises(
        DataError, match=r"a table must be of one machine; choose another file with --out\. Received: name .* instead of law"
    ):
        ec.learn_latency(path, quiet=True)
    assert path.read_bytes() == law_table.read_bytes()
    path.write_text("no table")
    with pytest.raises(DataError, match="must be a whole latency table"):
        ec.learn_latency(path, quiet=True)
    assert instant.calls == []


def test_machine_without_a_runtime_is_said(monkeypatch, tmp_path):
    described = learn.describe_machine()
    monkeypatch.setattr(learn, "describe_machine", lambda: {**described, "runtime": None, "runtime_version": None})
    with pytest.raises(DeviceError, match=r"local: a TFLite runtime cannot be imported.* Try edgecompress doctor"):
        ec.learn_latency(tmp_path / "t.json", quiet=True)
    assert not (tmp_path / "t.json").exists()


def test_command_says_how_good_the_table_is(monkeypatch, instant, tmp_path, capsys):
    monkeypatch.setattr(learn, "specimens", lambda formats: grid.specimens(formats)[:150])
    path = tmp_path / "latency.json"
    assert main(["learn-latency", "-o", str(path), "--quiet"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "local, 1 thread: 150 files timed" in text
    assert re.search(r"\d+ networks of int8 x int8, not learned from: median error [\d.]+%", text)
    assert main(["learn-latency", "-o", str(path), "--quiet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(path)
    assert {"CONV_2D int8 int8", "FULLY_CONNECTED float32 float32"} <= {one["family"] for one in found["threads"]["1"]["operators"]}


@pytest.mark.parametrize(
    ("options", "code", "pattern"),
    [
        (["--formats", "int7"], 2, "formats must be of float32, int8, dynamic"),
        (["--threads", "0"], 2, "threads must be whole numbers"),
        (["-o", "/no/such/folder/t.json"], 2, "a folder of the path does not exist"),
        (["--host=-oProxyCommand=x"], 2, "a host must be local, or a destination of ssh"),
        (["--host", "a b"], 2, "a host must be local, or a destination of ssh"),
    ],
)
def test_bad_options_are_refused(options, code, pattern, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["learn-latency", "--quiet", *options]) == code
    assert pattern in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"formats": ["foo"]}, r"formats must be among float32, int8, dynamic\. Received: \['foo'\]\."),
        ({"formats": "int8"}, "formats must be among float32, int8, dynamic"),
        ({"formats": []}, "formats must be among float32, int8, dynamic"),
        ({"threads": [1, 0]}, r"threads must be whole numbers from 1 on\. Received: \[1, 0\]\."),
        ({"threads": []}, "threads must be whole numbers"),
    ],
)
def test_what_no_table_can_hold_is_refused_before_anything_is_written(few, instant, tmp_path, options, words):
    with pytest.raises(DataError, match=words):
        ec.learn_latency(tmp_path / "t.json", quiet=True, **options)
    assert instant.calls == []
    assert list(tmp_path.iterdir()) == []


def test_two_visits_in_one_part_are_one_row(few, instant, tmp_path, monkeypatch):
    monkeypatch.setattr(learn, "VISITS", 3)
    monkeypatch.setattr(learn, "PART", 50)  # of 20 files: the second visit of all stands beside the first
    ec.learn_latency(tmp_path / "t.json", quiet=True)
    table = load_table(tmp_path / "t.json")
    assert len(table.rows) == 20
    assert {row.visits for row in table.rows} == {3}


def test_small_files_are_timed_while_no_search_trains(few, instant, tmp_path, monkeypatch):
    held, seen, measure = [], [], learn._measure_here(Progress())

    @contextmanager
    def measuring(say):
        held.append(True)
        yield
        held.pop()

    monkeypatch.setattr(learn, "measuring", measuring)
    monkeypatch.setattr(learn, "_measure_here", lambda progress: lambda *part: seen.append(len(held)) or measure(*part))
    ec.learn_latency(tmp_path / "t.json", formats=["int8"], quiet=True)
    assert set(seen) == {1}


class Listening(Progress):
    """Keeps what is said, and what stands beside the bar."""

    def __init__(self):
        self.lines, self.details = [], []

    @contextmanager
    def task(self, name, total=None):
        yield SimpleNamespace(advance=lambda amount=1: None, describe=self.details.append)

    def say(self, line):
        self.lines.append(line)


def test_wait_for_another_benchmark_here_is_said_and_has_no_limit(few, monkeypatch, tmp_path):
    limits, progress = [], Listening()

    @contextmanager
    def taken(*, limit_s, on_wait):
        limits.append(limit_s)
        on_wait()
        yield

    monkeypatch.setattr("edgecompress.benchmarking.turn", taken)
    monkeypatch.setattr("edgecompress.benchmarking.holder", lambda: "process 7")
    monkeypatch.setattr(learn, "visible_progress", lambda: progress)
    monkeypatch.setattr(learn, "PART", 20)
    ec.learn_latency(tmp_path / "t.json", formats=["int8"])
    assert progress.lines == ["waiting for another benchmark on this machine: process 7"]
    assert limits == [math.inf]


def test_what_a_host_waits_for_stands_beside_the_bar(few, monkeypatch, tmp_path):
    progress, timed = Listening(), {"blocks_ms": [1.0] * 5, "kernels": "xnnpack", "error": None}

    def ask(hosts, job, *, ssh_config, on_progress=None):
        if job.values["job"] == "doctor":
            return [Outcome("pi", {"machine": learn.describe_machine()}, None)]
        on_progress(0, 0, "waits for another benchmark there: process 7", "pi")
        return [Outcome("pi", {"timed": [timed] * 20}, None)]

    monkeypatch.setattr(learn, "ask_hosts", ask)
    monkeypatch.setattr(learn, "visible_progress", lambda: progress)
    monkeypatch.setattr(learn, "PART", 20)
    ec.learn_latency(tmp_path / "t.json", host="pi", formats=["int8"])
    assert progress.details == ["pi: waits for another benchmark there: process 7", ""]
