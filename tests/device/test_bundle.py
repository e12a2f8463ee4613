"""A bundle is measured only if it is whole and right; the doctor, the lock, and the job that comes over a pipe as over SSH."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgecompress.device import DeviceFault, arrival, doctor
from edgecompress.device.bundle import measure_bundle, read_bundle
from edgecompress.device.child import run_job
from edgecompress.device.table import format_entries
from edgecompress.device.turn import turn

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bundle(tiny, tmp_path):
    """A folder with a bundle of one model and its golden outputs; `bundle.write()` renews the manifest."""

    class Folder:
        path = tmp_path / "bundle"

        def write(self, **changes):
            files = [path for path in self.path.iterdir() if path.name != "manifest.json"]
            hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
            section = {
                "format": 1, "models": {"final": {"path": "model.tflite", "golden": "golden.npz"}}, "sha256": hashes, "threads": [1],
                "runs": 50, **changes,
            }  # fmt: skip
            (self.path / "manifest.json").write_text(json.dumps({"name": "tiny", "bundle": section}))

    folder = Folder()
    folder.path.mkdir()
    (folder.path / "model.tflite").write_bytes(tiny("double", shape=(1, 4)))
    np.savez(tmp_path / "inputs.npz", input_0=np.arange(12, dtype=np.float32).reshape(3, 4))
    job = {"job": "golden", "model": str(folder.path / "model.tflite"), "inputs": str(tmp_path / "inputs.npz")}
    run_job({**job, "output": str(folder.path / "golden.npz")}, timeout_s=60)
    folder.write()
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """benchmark_device.pyz."""
    path = tmp_path_factory.mktemp("program") / "benchmark_device.pyz"
    with zipfile.ZipFile(path, "w") as archive:
        for source in (ROOT / "edgecompress" / "device").glob("*.py"):
            archive.write(source, f"device/{source.name}")
        archive.writestr("__main__.py", "import sys\nfrom device.__main__ import run_beside\n"
                         "raise SystemExit(run_beside(sys.argv[0], sys.argv[1:]))\n")  # fmt: skip
    return path


def run(program, *arguments, cwd):
    return subprocess.run([sys.executable, str(program), *arguments], capture_output=True, text=True, cwd=cwd, timeout=120)


def test_program_in_the_folder_measures_it_and_writes_device_json(bundle, program):
    (bundle.path / program.name).write_bytes(program.read_bytes())
    bundle.write()
    finished = run(program.name, "--runs", "50", cwd=bundle.path)
    assert finished.returncode == 0, finished.stderr
    written = json.loads((bundle.path / "device.json").read_text())
    assert written["models"] == {"final": hashlib.sha256((bundle.path / "model.tflite").read_bytes()).hexdigest()}
    (entry,) = written["benchmark"]
    assert entry["p50_ms"] > 0
    assert entry["host"] == written["machine"]["name"]


def test_damaged_file_is_not_measured(bundle, program):
    with open(bundle.path / "model.tflite", "ab") as file:
        file.write(b"\0")
    (bundle.path / program.name).write_bytes(program.read_bytes())
    finished = run(program.name, cwd=bundle.path)
    assert finished.returncode == 4
    assert "model.tflite: it is not the file that was packed" in finished.stderr
    assert not (bundle.path / "device.json").exists()


def test_other_golden_outputs_are_not_timed_and_the_difference_is_said(bundle):
    with np.load(bundle.path / "golden.npz") as stored:
        arrays = dict(stored)
    arrays["xnnpack_0"] = arrays["xnnpack_0"] + 0.25
    arrays["builtin_0"] = arrays["builtin_0"] + 0.25
    np.savez(bundle.path / "golden.npz", **arrays)
    bundle.write()
    (entry,) = measure_bundle(read_bundle(str(bundle.path)), timeout_s=60)["benchmark"]
    assert "off by 0.25" in entry["error"]
    assert entry["p50_ms"] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "of format 2"),
        ({"sha256": {"gone.tflite": "0"}}, "gone.tflite: a file of the bundle must be readable"),
        ({"sha256": {"../secret": "0"}}, "files must lie beside it"),
        ({"models": {"final": {}}}, "must be the manifest of a bundle"),
        ({"models": {}}, "must be the manifest of a bundle. Received: ValueError: it names no models"),
        ({"sha256": []}, "must be the manifest of a bundle. Received: AttributeError"),
    ],
)
def test_bundle_that_is_none_is_refused(bundle, changes, words):
    bundle.write(**changes)
    with pytest.raises(DeviceFault, match=words):
        read_bundle(str(bundle.path))


def test_operators_that_are_not_there_are_said(bundle):
    with pytest.raises(DeviceFault, match="must hold the operators of a model"):
        measure_bundle(read_bundle(str(bundle.path)), timeout_s=60, operators=True)


def test_operators_that_cannot_be_unpacked_cost_no_latency_and_run_on_the_kernels_that_were_asked_for(bundle, tiny):
    path = bundle.path / "operators.zip"
    for content, words in ((b"no zip", "the operators cannot be unpacked"), (None, None)):
        path.write_bytes(content or b"")
        if content is None:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("0.tflite", tiny("double"))
        bundle.write(operators={"final": path.name})
        (entry,) = measure_bundle(read_bundle(str(bundle.path)), kernels=["builtin"], timeout_s=60, operators=True)["benchmark"]
        assert entry["p50_ms"] > 0
        assert (words or "") in (entry["operators"].get("error") or "")
        assert format_entries([entry])
    assert [one["kernels"] for one in entry["operators"]["timed"]] == ["builtin"]


def test_program_measures_the_folder_that_it_is_told(bundle, program, tmp_path):
    finished = run(program, "--folder", str(bundle.path), "--runs", "50", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "device.json").exists()


def test_folder_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(DeviceFault, match="unpack the bundle"):
        read_bundle(str(tmp_path))


def machine(**changes):
    values = {"numpy": None, "runtime": None, "python": "3.11.2", "bits": 64, "architecture": "aarch64", "governor": None, "throttled": [],
              "emulated": False, "python_program": "python3", "takes_packages": True}  # fmt: skip
    return {**values, **changes}


@pytest.mark.parametrize(
    ("changes", "packages", "words"),
    [
        ({}, ["ai-edge-litert", "numpy"], None),
        ({"python": "3.13.1"}, ["ai-edge-litert", "numpy"], None),
        ({"python": "3.9.2"}, ["tflite-runtime==2.14.0", "numpy<2"], None),
        ({"architecture": "armv7l", "bits": 32}, ["tflite-runtime==2.14.0", "numpy<2"], None),
        ({"bits": 32}, ["tflite-runtime==2.14.0", "numpy<2"], None),  # a 32-bit Python under a 64-bit kernel
        ({"architecture": "armv7l", "bits": 32, "python": "3.13.5"}, [], "use a 64-bit system, or Python 3.9 to 3.11"),
        ({"python": "3.14.0"}, [], "use Python 3.10 to 3.13"),
        ({"architecture": "armv6l", "bits": 32}, [], "on armv6l: use a machine of 64-bit Arm or x86"),
    ],
)
def test_doctor_names_the_packages_that_exist_for_a_machine(changes, packages, words):
    found, why_not = doctor.wanted_packages(machine(**changes))
    assert found == packages
    assert (why_not is None) if words is None else (words in why_not)
    problem = doctor.find_problems(machine(**changes))[0]
    assert (problem["command"] is not None) == bool(packages)


def test_doctor_finds_nothing_wrong_with_a_good_board():
    good = machine(numpy="2.2.0", runtime="ai-edge-litert", governor="performance")
    assert doctor.find_problems(good) == []


def test_doctor_describes_this_machine_and_runs_without_numpy(program, tmp_path):
    code = "import sys\nsys.modules['numpy'] = None\nsys.path.insert(0, sys.argv[1])\nfrom device.__main__ import main\n"
    code += "raise SystemExit(main(['doctor', '--json']))"
    finished = subprocess.run(
        [sys.executable, "-c", code, str(program)], capture_output=True, text=True, timeout=60
    )  # fmt: skip
    found = json.loads(finished.stdout)
    assert finished.returncode == 4
    assert found["machine"]["cores"] >= 1
    assert "NumPy" in found["problems"][0]["what"]
    assert "pip install" in found["problems"][0]["command"]


@pytest.mark.skipif(sys.platform != "linux", reason="the lock is Linux' own")
def test_second_benchmark_waits_for_the_first():
    name, order = f"\0edgecompress-test-{os.getpid()}", []

    def second():
        with turn(limit_s=30, on_wait=lambda: order.append("waits"), name=name):
            order.append("second")

    with turn(limit_s=0, on_wait=lambda: None, name=name):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first ends")
    thread.join()
    assert order == ["waits", "first ends", "second"]


@pytest.mark.skipif(sys.platform != "linux", reason="the lock is Linux' own")
def test_benchmark_that_waited_too_long_says_so():
    name = f"\0edgecompress-test-{os.getpid()}-long"
    with turn(limit_s=0, on_wait=lambda: None, name=name), pytest.raises(DeviceFault, match="another benchmark runs on this machine"):  # noqa: SIM117
        with turn(limit_s=0, on_wait=lambda: None, name=name):
            pass


class Visit:
    """The other end of an SSH connection, without SSH: arrival's source, a job and files on standard input."""

    def __init__(self, folder, temporary, program, job):
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder else {}
        files[program.name] = program.read_bytes()
        order = {"files": [[name, len(content)] for name, content in files.items()], "job": job, "program": program.name}
        source = Path(arrival.__file__).read_bytes()
        code = "import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(temporary)}
        )
        self.process.stdin.write(b"%d\n%s%s\n" % (len(source), source, json.dumps(order).encode()))
        self.process.stdin.write(b"".join(files.values()))
        self.process.stdin.flush()

    def messages(self):
        for line in self.process.stdout:
            yield json.loads(line.decode().removeprefix(arrival.PREFIX))


def processes_of(folder):
    """The processes that were started from a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path] if str(folder).encode() in path.read_bytes() else []
        except OSError:  # it ended meanwhile
            continue
    return found


def wait_until_empty(folder):
    end = time.monotonic() + 10
    while list(folder.iterdir()) and time.monotonic() < end:
        time.sleep(0.05)
    return not list(folder.iterdir())


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def test_job_that_comes_is_done_and_leaves_nothing(bundle, temporary, program):
    visit = Visit(bundle.path, temporary, program, {"job": "benchmark", "timeout_s": 60, "runs": 50})
    answer = next(message["answer"] for message in visit.messages() if "answer" in message)
    visit.process.communicate(timeout=20)
    assert answer["benchmark"][0]["error"] is None
    assert wait_until_empty(temporary)


@pytest.mark.parametrize("ending", ["the line ends", "killed"])
def test_interrupted_job_leaves_neither_files_nor_processes(bundle, temporary, program, ending, fake_runtime):
    fake_runtime(invoke="time.sleep(600)")
    visit = Visit(bundle.path, temporary, program, {"job": "benchmark", "timeout_s": 600})
    next(message for message in visit.messages() if "progress" in message)
    (private,) = temporary.iterdir()
    assert private.stat().st_mode & 0o777 == 0o700
    if ending == "killed":
        visit.process.kill()
    visit.process.communicate(timeout=20)
    assert wait_until_empty(temporary)
    end = time.monotonic() + 10
    while (left := processes_of(private)) and time.monotonic() < end:  # killed, but perhaps not yet gone
        time.sleep(0.05)
    assert left == []
