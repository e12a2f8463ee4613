"""The command for use by hand, its door in scripts/, and the stability benchmark."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgecompress.device import benchmark
from edgecompress.device.__main__ import main
from edgecompress.device.child import run_job
from edgecompress.device.golden import write_arrays
from edgecompress.device.table import find_failures

ROOT = Path(__file__).parents[2]
DOOR = ROOT / "scripts" / "benchmark_device.py"
WINDOW = {"p50_ms": 1.0, "temperature_celsius": None}


def run(*command, cwd):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)
    lines = finished.stderr.splitlines(keepends=True)  # another benchmark may run on this machine, which is said
    finished.stderr = "".join(line for line in lines if not line.startswith("waiting for another benchmark"))
    return finished


def test_table_and_json_tell_the_same(tiny_file, tmp_path, capsys):
    model, results = tiny_file("double"), tmp_path / "results.json"
    assert main(["benchmark", model, "--threads", "1,2", "--runs", "50", "--json", str(results)]) == 0
    lines = capsys.readouterr().out.splitlines()
    entries = json.loads(results.read_text())["benchmark"]
    assert lines[0].split()[:2] == ["model", "threads"]
    for line, entry in zip(lines[2:4], entries, strict=True):
        cells = line.split()
        assert cells[:5] == [Path(model).name, str(entry["threads"]), entry["kernels"], "50", f"{entry['p50_ms']:.4f}"]
    assert f"{entries[0]['runtime']} {entries[0]['runtime_version']}" in lines[5]
    assert [path.name for path in tmp_path.iterdir() if ".tmp" in path.name] == []


def test_failed_model_is_exit_4_and_the_other_is_shown(tiny_file, tmp_path, capsys):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    assert main(["benchmark", str(broken), tiny_file("double"), "--runs", "50"]) == 4
    output = capsys.readouterr().out
    assert "broken.tflite, threads 1: failed: " in output
    assert "refused the model" in output
    assert " failed\n" in output
    assert "double-" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL", "--runs", "3"], r"error: runs must be at least 50. Received: 3"),
        (["MODEL", "--threads", "0"], r"error: threads must be numbers of at least 1. Received: [0]"),
        (["no.tflite"], "error: no.tflite: must be a file that exists"),
        (["MODEL", "--golden", "no.npz"], "error: no.npz: must be a file that exists"),
        (["MODEL", "--golden", "MODEL", "--golden", "MODEL"], "error: --golden must be given once per model (1). Received: 2"),
    ],
)
def test_bad_arguments_are_exit_2_in_one_line(tiny_file, capsys, arguments, message):
    model = tiny_file("double")
    assert main(["benchmark", *(model if argument == "MODEL" else argument for argument in arguments)]) == 2
    assert capsys.readouterr().err == f"{message}\n"


def test_unparsable_threads_are_exit_2(tiny_file, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["benchmark", tiny_file("double"), "--threads", "two"])
    assert "must be whole numbers with commas between them, or all. Received: 'two'" in capsys.readouterr().err


def test_unwritable_json_is_exit_2_without_traceback(tiny_file, capsys, tmp_path):
    assert main(["benchmark", tiny_file("double"), "--runs", "50", "--json", str(tmp_path / "no" / "x.json")]) == 2
    assert "error: " in capsys.readouterr().err


def test_golden_files_go_with_the_models_in_order(tiny_file, tmp_path, capsys):
    double, identity = tiny_file("double", (1, 3)), tiny_file("identity", (1, 3), "float32")
    stored, golden = str(tmp_path / "stored.npz"), str(tmp_path / "golden.npz")
    write_arrays(stored, {"input_0": np.ones((2, 3), np.float32)})
    run_job({"job": "golden", "model": double, "inputs": stored, "output": golden}, timeout_s=60)
    assert main(["benchmark", double, identity, "--golden", golden, "--golden", golden, "--runs", "50"]) == 4
    output = capsys.readouterr().out
    assert f"{Path(identity).name}, threads 1: failed: golden outputs differ" in output
    assert f"{Path(double).name}, threads 1: failed" not in output


def test_door_works_from_anywhere_and_leaves_nothing(tiny_file, tmp_path):
    model = tiny_file("double")
    (tmp_path / "elsewhere").mkdir()
    finished = run(
        "-P" if sys.version_info >= (3, 11) else "-E", DOOR, model, "--runs", 50, "--json", "out.json", cwd=tmp_path / "elsewhere"
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["out.json"]
    assert run(DOOR, "--help", cwd=tmp_path).stdout.startswith("usage: benchmark_device.py [-h] [--threads")


def test_module_has_help(tmp_path):
    finished = subprocess.run([sys.executable, "-m", "edgecompress.device", "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert finished.returncode == 0
    assert "benchmark" in finished.stdout


def test_package_runs_from_a_zip_file(tiny_file, tmp_path):
    """The children must find the package inside the archive, under whatever name it has there."""
    archive = tmp_path / "benchmark_device.pyz"
    with zipfile.ZipFile(archive, "w") as file:
        for source in (ROOT / "edgecompress" / "device").glob("*.py"):
            file.write(source, f"renamed/{source.name}")
        file.writestr("__main__.py", "from renamed.__main__ import main\nraise SystemExit(main())\n")
    finished = run(archive, "benchmark", tiny_file("double"), "--runs", 50, cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_stability_benchmark_runs(tiny_file, tmp_path):
    results = tmp_path / "stability.json"
    script = ROOT / "scripts" / "benchmarks" / "stability.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), tiny_file("double"), "--processes", "2", "--runs", "50", "--json", str(results)]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    result = json.loads(results.read_text())
    assert len(result["p50_ms"]) == len(result["control_p50_ms"]) == 2
    assert result["own_us"] > 0  # what it must be is the benchmark's to judge: a busy machine is no fault
    assert result["clock_step_us"] > 0
    assert f"{result['runtime']} {result['runtime_version']}" in finished.stdout


@pytest.mark.parametrize("failed", ["the model did not finish", None])
def test_minutes_that_failed_are_exit_4(tiny_file, monkeypatch, failed):
    found = {"error": failed} if failed else {"minutes": 1, "windows": [WINDOW], "energy": {"measured": False}}
    monkeypatch.setattr(benchmark, "measure_sustained", lambda *arguments, **options: found)
    assert main(["benchmark", tiny_file("double"), "--runs", "50", "--minutes", "1"]) == (4 if failed else 0)


def test_what_failed_beside_the_latency_is_found():
    found = {"sustained": {"error": "a"}, "accuracy": {"error": "b"}, "operators": {"error": "c", "timed": []}}
    assert find_failures({"error": None, **found}) == ["a", "b", "c"]
    assert find_failures({"error": None, "sustained": {"minutes": 1}, "accuracy": None}) == []
