"""What threads bring, and what minutes without a pause do."""

import pytest

from edgecompress.device import sustained
from edgecompress.device.__main__ import main
from edgecompress.device.benchmark import benchmark_models
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
