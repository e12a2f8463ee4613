"""benchmark_models: entries, fairness, checks and what one bad model may cost."""

import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgecompress.device import benchmark
from edgecompress.device.benchmark import benchmark_models
from edgecompress.device.child import run_job
from edgecompress.device.golden import read_arrays, write_arrays
from edgecompress.device.measure import read_peak_rss_kb

KEYS = [
    "model", "host", "runtime", "runtime_version", "kernels", "requested_kernels", "delegate", "threads", "runs", "warmup",
    "load_ms", "allocate_ms",
    "init_ms", "first_ms",
    "mean_ms", "std_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms", "p50_interval_ms", "peak_rss_kb", "cpu",
    "temperature_celsius", "frequency_khz",
    "throttled", "golden", "trusted", "distrust_reasons", "error",
]  # fmt: skip
TIMES = [key for key in KEYS if key.endswith("_ms") or key == "peak_rss_kb"]


@pytest.fixture
def golden_file(tmp_path):
    """Writes golden vectors of a model for given inputs."""

    def write(model, *inputs):
        stored, golden = str(tmp_path / "stored.npz"), f"{model}.golden.npz"
        write_arrays(stored, {f"input_{position}": values for position, values in enumerate(inputs)})
        run_job({"job": "golden", "model": model, "inputs": stored, "output": golden}, timeout_s=60)
        return golden

    return write


def test_every_model_and_thread_count_has_an_entry_of_the_report(tiny_file, golden_file):
    model = tiny_file("double", (1, 64))
    golden = golden_file(model, np.ones((2, 64), np.float32))
    entries = benchmark_models({"final": model, "plain": Path(model)}, threads=[1, 2], runs=100, golden={"final": golden}, timeout_s=60)
    assert [(entry["model"], entry["threads"]) for entry in entries] == [("final", 1), ("plain", 1), ("final", 2), ("plain", 2)]
    for entry in entries:
        assert list(entry) == KEYS
        assert (entry["host"], entry["delegate"], entry["runs"], entry["error"]) == ("local", None, 100, None)
        assert entry["warmup"] >= 9
        assert 0 < entry["min_ms"] <= entry["p50_ms"] <= entry["p90_ms"] <= entry["max_ms"]
        assert entry["p50_interval_ms"][0] <= entry["p50_ms"] <= entry["p50_interval_ms"][1]
        assert (entry["p95_ms"], entry["p99_ms"]) == (None, None)  # 100 runs carry a p90, no more
        assert min(entry["load_ms"], entry["allocate_ms"], entry["first_ms"]) > 0
        assert entry["load_ms"] + entry["allocate_ms"] == pytest.approx(entry["init_ms"])
        assert list(entry["cpu"]) == ["model", "cores", "governor", "frequency_khz", "emulated"]
        assert entry["trusted"] is (not entry["distrust_reasons"])


def test_percentiles_agree_with_numpy_on_the_raw_times(tiny_file, monkeypatch):
    blocks = []
    summarize = benchmark.summarize
    monkeypatch.setattr(benchmark, "summarize", lambda blocks_ns: blocks.extend(blocks_ns) or summarize(blocks_ns))
    (entry,) = benchmark_models({"m": tiny_file("double")}, threads=[1], runs=1000, timeout_s=60)
    times_ms = np.concatenate(blocks) / 1e6
    assert times_ms.size == 1000
    for percent in (50, 90, 95, 99):
        assert entry[f"p{percent}_ms"] == pytest.approx(np.percentile(times_ms, percent), abs=1e-6)  # reported in whole nanoseconds


def test_models_take_turns_in_blocks(tiny_file, monkeypatch):
    turns = []
    take_turn = benchmark._Contender.time_block
    monkeypatch.setattr(
        benchmark._Contender, "time_block", lambda self, num_runs: turns.append((self.name, num_runs)) or take_turn(self, num_runs)
    )
    model = tiny_file("double")
    benchmark_models({"a": model, "b": model}, threads=[1], runs=52, timeout_s=60)
    assert [name for name, _ in turns] == ["a", "b"] * 10
    assert sum(size for name, size in turns if name == "a") == 52


def test_bad_models_cost_only_themselves(tiny_file, fake_runtime, tmp_path, num_children):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    good = tiny_file("double")
    models = {"endless": tiny_file("endless"), "broken": str(broken), "missing": "no.tflite", "good": good}
    entries = benchmark_models(models, threads=[1], runs=50, timeout_s=6)
    reasons = [entry["error"] for entry in entries]
    assert "did not finish within 6 s (while running the model)" in reasons[0]
    assert "refused the model" in reasons[1]
    assert "no.tflite: the model cannot be read" in reasons[2]
    assert reasons[3] is None
    assert entries[3]["p50_ms"] > 0
    for entry in entries[:3]:
        assert all(entry[key] is None for key in TIMES)
        assert (entry["runs"], entry["trusted"], entry["distrust_reasons"]) == (0, False, [])
    assert num_children() == 0


@pytest.mark.parametrize(
    "invoke", ["self.count = getattr(self, 'count', 0) + 1\n        if self.count > 2_000: os.abort()\n        time.sleep(1e-4)"]
)
def test_crash_in_the_middle_is_reported(fake_runtime, invoke, num_children):
    (entry,) = benchmark_models({"m": fake_runtime(invoke)}, threads=[1], runs=10_000, timeout_s=60)
    assert "crashed with SIGABRT while running the model" in entry["error"]
    assert entry["p50_ms"] is None
    assert entry["runtime_version"] == "fake"  # what was known before the crash stays
    assert num_children() == 0


@pytest.mark.parametrize("most_blocks", [20, 1])
def test_many_runs_are_no_hang(fake_runtime, monkeypatch, most_blocks):
    """Each of several blocks is shorter than the limit, and all together are longer; or one block alone is."""
    monkeypatch.setattr(benchmark, "_MOST_BLOCKS", most_blocks)
    (entry,) = benchmark_models({"m": fake_runtime("time.sleep(0.03)")}, threads=[1], runs=160, timeout_s=4)
    assert entry["error"] is None
    assert entry["runs"] == 160


def test_hang_in_the_middle_of_many_runs_is_stopped(fake_runtime, num_children):
    invoke = "self.count = getattr(self, 'count', 0) + 1\n        time.sleep(0.01 if self.count < 500 else 1000)"
    start = time.monotonic()
    (entry,) = benchmark_models({"m": fake_runtime(invoke)}, threads=[1], runs=2000, timeout_s=3)
    assert "did not finish within" in entry["error"]
    assert time.monotonic() - start < 40
    assert num_children() == 0


def test_crash_on_letting_go_is_reported(fake_runtime):
    (entry,) = benchmark_models({"m": fake_runtime(delete="os.abort()")}, threads=[1], runs=50, timeout_s=60)
    assert "crashed with SIGABRT while letting go of the model" in entry["error"]


def test_wrong_golden_outputs_are_reported_and_not_timed(tiny_file, golden_file, monkeypatch):
    model = tiny_file("double", (1, 4), "int8", 0.5)
    good, bad = golden_file(model, np.int8([[1, 2, 3, 4]])), f"{model}.bad.npz"
    content = read_arrays(good)
    for family in ("xnnpack_0", "builtin_0"):
        content[family] = content[family] + np.int8(5)
    write_arrays(bad, content)
    timed = []
    load = benchmark._Contender.load
    monkeypatch.setattr(benchmark._Contender, "load", lambda self, timeout_s: timed.append(self.name) or load(self, timeout_s))
    entries = benchmark_models({"bad": model, "good": model}, threads=[1], runs=50, golden={"bad": bad, "good": good}, timeout_s=60)
    assert "golden outputs differ" in entries[0]["error"]
    assert "output 0 is off by 5 in sample 0, at most 1 is allowed" in entries[0]["error"]
    assert timed == ["good"]
    assert entries[1]["error"] is None


def test_both_kernel_families_are_timed_in_turns_and_checked(data_folder, golden_file, tmp_path, monkeypatch):
    turns = []
    take_turn = benchmark._Contender.time_block
    monkeypatch.setattr(benchmark._Contender, "time_block", lambda self, num_runs: turns.append(self.kernels) or take_turn(self, num_runs))
    model = shutil.copy(data_folder / "mlperf_tiny/ad/ad01_fp32.tflite", tmp_path)  # both runtimes hand floats to XNNPACK
    golden = {"m": golden_file(model, np.random.default_rng(0).uniform(-1, 1, (3, 640)).astype(np.float32))}
    entries = benchmark_models({"m": model}, threads=[1], runs=50, golden=golden, kernels=["xnnpack", "builtin"], timeout_s=60)
    assert [entry["kernels"] for entry in entries] == ["xnnpack", "builtin"]
    assert [entry["golden"]["kernels"] for entry in entries] == ["xnnpack", "builtin"]
    assert [entry["golden"]["across"]["kernels"] for entry in entries] == ["builtin", "xnnpack"]
    assert all(entry["golden"]["across"]["snr_db"] > 80 for entry in entries)  # floats differ by rounding only
    assert turns == ["xnnpack", "builtin"] * 10


def test_model_that_xnnpack_takes_nothing_of_is_timed_once(fake_runtime):
    (entry,) = benchmark_models({"m": fake_runtime()}, threads=[1], runs=50, kernels=["xnnpack", "builtin"], timeout_s=60)
    assert entry["kernels"] == "builtin"
    assert entry["error"] is None


def test_progress_rises_to_the_total_even_with_failures(tiny_file):
    seen = []
    benchmark_models(
        {"m": tiny_file("double"), "no": "no.tflite"}, threads=[1], runs=50, timeout_s=60, on_progress=lambda *step: seen.append(step)
    )
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert {step[1] for step in seen} == {done[-1]} == {2 * (4 + 10)}
    assert "timing m" in {step[2] for step in seen}


def test_settings_out_of_range_are_refused(tiny_file):
    models = {"m": tiny_file("double")}
    with pytest.raises(ValueError, match=r"runs must be at least 50\. Received: 49"):
        benchmark_models(models, threads=[1], runs=49, timeout_s=60)
    for kernels in ([], ["gpu"]):
        with pytest.raises(ValueError, match=r"kernels must be of xnnpack, builtin\. Received: \["):
            benchmark_models(models, threads=[1], runs=50, kernels=kernels, timeout_s=60)
    for threads in ([], [0], [1, -2]):
        with pytest.raises(ValueError, match=r"threads must be numbers of at least 1\. Received: \["):
            benchmark_models(models, threads=threads, runs=50, timeout_s=60)


def test_more_threads_than_cores_are_not_trusted(tiny_file, monkeypatch):
    cpu = {"model": None, "cores": 1, "governor": None, "frequency_khz": None, "emulated": False}
    monkeypatch.setattr(benchmark, "describe_cpu", lambda: cpu)
    entries = benchmark_models({"m": tiny_file("double")}, threads=[1, 2], runs=50, timeout_s=60)
    assert ["2 threads shared 1 cores" in entry["distrust_reasons"] for entry in entries] == [False, True]
    assert not entries[1]["trusted"]


def test_unsteady_latency_and_a_wide_interval_are_not_trusted():
    contender = benchmark._Contender("m", "m.tflite", None, threads=1, known={"stable": False, "warmup": 99})
    narrow, wide = ({"p50_ms": 1.0, "p50_interval_ms": interval} for interval in ([0.99, 1.03], [0.9, 1.1]))
    unstable = "the latency was not stable after 99 warm-up invokes"
    assert benchmark._own_doubts(contender, narrow, cores=4) == [unstable]
    assert benchmark._own_doubts(contender, wide, cores=4) == [unstable, "the interval of the median is 20% wide"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads VmHWM")
def test_peak_memory_is_the_models_own(tiny_file, golden_file):
    """Neither this process's size, nor its golden vectors, nor another model's memory may show; the model's own memory must."""
    ballast = np.ones(20_000_000, np.float64)
    small, large = tiny_file("double", (1, 20_000)), tiny_file("double", (1, 2_500_000))
    golden = golden_file(small, np.zeros((200, 20_000), np.float32))  # 16,000 kB of inputs, as much again of outputs
    models, vectors = {"small": small, "checked": small, "large": large}, {"checked": golden}
    small_kb, checked_kb, large_kb = (
        entry["peak_rss_kb"] for entry in benchmark_models(models, threads=[1], runs=50, golden=vectors, timeout_s=60)
    )
    own_kb = read_peak_rss_kb()
    assert own_kb > 160_000
    assert 10_000 < small_kb < 150_000
    assert abs(checked_kb - small_kb) < 3_000  # reading the first sample
    assert 20_000 - 1_000 < large_kb - small_kb < 60_000  # x and y of 10,000 kB each, and what their making takes
    assert ballast[0] == 1
