"""What threads bring, and what minutes without a pause do."""

import pytest

from edgecompress.device import benchmark, sustained
from edgecompress.device.__main__ import main
from edgecompress.device.benchmark import benchmark_models
from edgecompress.device.child import Child
from edgecompress.device.scaling import describe_scaling, scaling, xnnpack_speed


@pytest.fixture(autouse=True)
def short_rest(monkeypatch):
    monkeypatch.setattr(sustained, "_IDLE_S", 0.0)


def entry(model, threads, p50_ms, host="pi", kernels="xnnpack"):
    return {"model": model, "host": host, "threads": threads, "p50_ms": p50_ms, "kernels": kernels}


def test_curve_is_relative_to_the_fewest_threads_of_the_same_host_and_model():
    entries = [entry("final", 2, 3.0), entry("final", 1, 6.0), entry("final", 4, 4.0), entry("plain", 1, 9.0), entry("final", 1, 1.0, "pc")]
    assert scaling(entries) == {("pi", "final", "xnnpack"): {1: 1.0, 2: 2.0, 4: 1.5}}
    assert describe_scaling(entries) == [
        "final on pi, xnnpack kernels, speed by threads: 1: 1.00 times, 2: 2.00 times, 4: 1.50 times; 2 are best"
    ]


def test_one_number_of_threads_and_failures_have_no_curve():
    assert describe_scaling([entry("final", 1, 6.0), entry("final", 2, None), entry("plain", 1, 3.0)]) == []


def test_speed_of_xnnpack_is_that_of_the_same_model_and_threads_without_it():
    entries = [entry("final", 1, 2.0), entry("final", 1, 5.0, kernels="builtin"), entry("final", 2, 1.0), entry("plain", 1, 3.0)]
    assert xnnpack_speed(entries) == {("pi", "final", 1): 2.5}
    assert "final on pi, threads 1: XNNPACK makes it 2.50 times as fast" in describe_scaling(entries)


def test_fewest_threads_win_a_tie():
    assert describe_scaling([entry("final", 1, 2.0), entry("final", 2, 2.0)])[0].endswith("1 is best")


def test_minutes_are_covered_by_windows_with_their_circumstances(tiny_file, monkeypatch):
    monkeypatch.setattr(sustained, "_WINDOW_S", 0.3)
    found = benchmark_models({"final": tiny_file("double")}, threads=[1], runs=50, timeout_s=60, minutes=0.02)[0]["sustained"]
    windows = found["windows"]
    assert windows[-1]["at_s"] >= 1.2
    assert len(windows) >= 2
    assert [window["at_s"] for window in windows] == sorted(window["at_s"] for window in windows)
    assert all(0 < window["p50_ms"] <= window["max_ms"] for window in windows)
    assert {"temperature_celsius", "frequency_khz", "throttled", "invokes"} <= set(windows[0])
    assert found["slowdown"] == windows[-1]["p50_ms"] / windows[0]["p50_ms"]
    assert sustained.describe_sustained(found).startswith("0.02 minutes without a pause: p50 ")


def test_the_shortest_time_has_a_window(tiny_file):
    found = sustained.measure_sustained(tiny_file("double"), None, threads=1, minutes=1e-12, timeout_s=60, on_progress=None)
    assert len(found["windows"]) == 1
    assert found["slowdown"] == 1.0


def test_model_that_slows_down_is_seen(fake_runtime, monkeypatch):
    monkeypatch.setattr(sustained, "_WINDOW_S", 0.2)
    model = fake_runtime(invoke="self.n = getattr(self, 'n', 0) + 1; time.sleep(0.001 + 2e-5 * self.n)")
    found = sustained.measure_sustained(model, None, threads=1, minutes=0.03, timeout_s=60, on_progress=None)
    assert found["slowdown"] > 1.2


def test_model_that_dies_meanwhile_has_an_error(fake_runtime):
    model = fake_runtime(invoke="self.n = getattr(self, 'n', 0) + 1; self.n > 200 and os.abort()")
    found = sustained.measure_sustained(model, None, threads=1, minutes=0.1, timeout_s=60, on_progress=None)
    assert "SIGABRT" in found["error"]
    assert sustained.describe_sustained(found).startswith("sustained: failed: the runtime crashed")


@pytest.mark.parametrize("minutes", ["-1", "ten", "9999", "nan"])
def test_minutes_out_of_range_are_exit_2(minutes, tiny_file, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["benchmark", tiny_file("double"), "--minutes", minutes])
    assert "must be a number of minutes up to 1440" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "-1", "1e10", "two"])
def test_timeout_out_of_range_is_exit_2(seconds, tiny_file, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["benchmark", tiny_file("double"), "--timeout", seconds])
    assert "must be a number of seconds from 1 to 86,400" in capsys.readouterr().err


def test_times_that_are_none_are_refused_by_the_function_too(tiny_file):
    for times in ({"timeout_s": float("inf")}, {"timeout_s": 60, "minutes": float("nan")}):
        with pytest.raises(ValueError, match=rf"{list(times)[-1]} must be .*Received: (inf|nan)"):
            benchmark_models({"m": tiny_file("double")}, threads=[1], runs=50, **times)


class RecordingChild(Child):
    """Keeps the job, and how much more than the limit each answer may take."""

    jobs, extras_s = [], []

    def __init__(self, job, *, timeout_s):
        self.jobs.append(job)
        super().__init__(job, timeout_s=timeout_s)

    def receive(self, on_progress=None, *, more_s=0.0):
        self.extras_s.append(more_s)
        return super().receive(on_progress, more_s=more_s)


@pytest.fixture
def children(monkeypatch):
    monkeypatch.setattr(RecordingChild, "jobs", [])
    monkeypatch.setattr(RecordingChild, "extras_s", [])
    monkeypatch.setattr(sustained, "Child", RecordingChild)
    return RecordingChild


def test_minutes_run_on_the_kernels_that_were_asked_for(tiny_file, children, monkeypatch):
    monkeypatch.setattr(sustained, "_WINDOW_S", 0.1)
    options = {"threads": [2], "runs": 50, "timeout_s": 60, "minutes": 0.002}
    (entry,) = benchmark_models({"final": tiny_file("double")}, kernels=["builtin"], **options)
    assert entry["sustained"]["windows"]
    assert [(job["kernels"], job["threads"]) for job in children.jobs] == [("builtin", 2)]


def test_minutes_stay_with_the_first_model_where_its_first_entry_is_a_double(fake_runtime, monkeypatch):
    monkeypatch.setattr(benchmark, "measure_sustained", lambda model, golden, **options: {"model": model, **options})
    model = fake_runtime()
    entries = benchmark_models(
        {"final": model, "plain": "no.tflite"}, threads=[1], runs=50, kernels=["builtin", "xnnpack"], timeout_s=60, minutes=1
    )
    assert [(entry["model"], entry["error"] is None) for entry in entries] == [("plain", False), ("final", True), ("plain", False)]
    (found,) = (entry["sustained"] for entry in entries if "sustained" in entry)
    assert found is entries[1]["sustained"]
    assert (found["model"], found["kernels"]) == (model, "xnnpack")


def test_a_window_has_the_time_that_its_runs_need(fake_runtime, children, monkeypatch):
    monkeypatch.setattr(sustained, "_WINDOW_S", 0.5)
    model = fake_runtime(invoke="time.sleep(0.01)")
    sustained.measure_sustained(model, None, threads=1, minutes=0.02, timeout_s=60, on_progress=None)
    assert max(children.extras_s) > 0.5


def test_every_invoke_of_the_minutes_counts(fake_runtime, monkeypatch):
    """What ran and was not counted would raise the energy of an invoke."""
    monkeypatch.setattr(sustained, "_WINDOW_S", 0.2)
    model = fake_runtime(invoke="time.sleep(0.2)")
    found = sustained.measure_sustained(model, None, threads=1, minutes=0.03, timeout_s=60, on_progress=None)
    counted_s = sum(window["invokes"] * window["mean_ms"] for window in found["windows"]) / 1e3
    start, end = found["busy_unix_s"]
    assert counted_s > 0.75 * (end - start)  # a lead before each window would leave a half
