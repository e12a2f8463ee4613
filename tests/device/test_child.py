"""Child processes: crashes, hangs, noise and the death of either side. Nothing here may cost more than its own job."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgecompress.device import DeviceFault
from edgecompress.device.child import Child, run_job
from edgecompress.device.golden import write_arrays

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def probe(model, timeout_s=60.0, **more):
    return run_job({"job": "probe", "model": str(model), **more}, timeout_s=timeout_s)


def test_probe_tells_specs_runtime_and_kernels(tiny_file):
    answer = probe(tiny_file("double", (1, 4), "int8", 0.5, 3), kernels="builtin")
    x = {"name": "x", "index": 0, "shape": [1, 4], "dtype": "int8", "scale": 0.5, "zero_point": 3}
    assert answer["inputs"] == [x]
    assert answer["outputs"] == [{**x, "name": "y", "index": 1}]
    assert answer["kernels"] == "builtin"
    assert answer["runtime"] in ("ai-edge-litert", "tflite-runtime")
    assert answer["runtime_version"][0].isdigit()


def test_probe_takes_given_inputs(tiny_file, tmp_path):
    inputs = tmp_path / "inputs.npz"
    write_arrays(str(inputs), {"input_0": np.zeros((3, 4), np.float32)})
    assert probe(tiny_file("double"), inputs=str(inputs))["outputs"][0]["shape"] == [1, 4]
    write_arrays(str(inputs), {"input_0": np.zeros((3, 5), np.float32)})
    with pytest.raises(DeviceFault, match="must be samples of shape"):
        probe(tiny_file("double"), inputs=str(inputs))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tflite_odd/invalid_model.bin", "refused the model"),
        ("tflite_odd/custom_sinh.bin", r"refused the model: .*Sinh"),
        ("tflite_odd/string.bin", r"input 'string_input' must be numbers\. Received: a string tensor"),
        ("tflite_odd/simple_floor_mod.tflite", r"failed to run the model: .*[Dd]ivision by (0|zero)"),
    ],
)
def test_real_odd_files_are_faults_in_words(data_folder, name, reason):
    with pytest.raises(DeviceFault, match=reason):
        probe(data_folder / name)


def test_real_file_that_spoils_the_memory_of_the_runtime_is_a_fault(data_folder):
    with pytest.raises(DeviceFault, match=r"crashed with SIG(ABRT|SEGV|BUS)"):
        probe(data_folder / "tflite_tflm/keyword_scrambled_8bit.tflite")


@pytest.mark.parametrize(
    ("invoke", "reason"),
    [
        ("os.abort()", "the runtime crashed with SIGABRT while running the model"),
        ("ctypes.string_at(0)", "the runtime crashed with SIGSEGV while running the model"),
        ("os.kill(os.getpid(), 9)", "crashed with SIGKILL while running the model; the machine may have run out of memory"),
        ("os._exit(3)", "ended with exit code 3 while running the model"),
        ("os._exit(0)", "ended without an answer while running the model"),
        ("raise MemoryError('too large')", "^MemoryError: too large$"),
    ],
)
def test_every_kind_of_death_is_a_fault(fake_runtime, invoke, reason):
    with pytest.raises(DeviceFault, match=reason):
        probe(fake_runtime(invoke))


def test_last_words_of_a_crash_are_told(fake_runtime):
    model = fake_runtime("os.write(2, b'first\\n\\nassertion failed: rank < 5\\n'); os.abort()")
    with pytest.raises(DeviceFault, match=r"SIGABRT while running the model \(last output: assertion failed: rank < 5\)"):
        probe(model)


def test_crash_on_letting_go_is_a_fault(fake_runtime):
    with pytest.raises(DeviceFault, match="crashed with SIGABRT while letting go of the model"):
        probe(fake_runtime(delete="os.abort()"))


def test_crash_leaves_no_core_file_and_no_process(fake_runtime, tmp_path, monkeypatch, num_children):
    model = fake_runtime("os.abort()")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DeviceFault):
        probe(model)
    assert [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in str(path)] == before
    assert num_children() == 0


def test_endless_model_is_stopped_in_time(tiny_file, num_children):
    start = time.monotonic()
    with pytest.raises(DeviceFault, match=r"the model did not finish within 1\.5 s \(while running the model\)"):
        probe(tiny_file("endless"), timeout_s=1.5)
    assert time.monotonic() - start < 4
    assert num_children() == 0


def test_hang_that_holds_the_interpreter_lock_is_stopped(fake_runtime):
    with pytest.raises(DeviceFault, match="did not finish within 1 s"):
        probe(fake_runtime("ctypes.PyDLL(None).sleep(1000)"), timeout_s=1)


def test_hang_after_the_answer_is_stopped(fake_runtime):
    model = fake_runtime("import threading; threading.Thread(target=time.sleep, args=(1000,)).start()")
    with pytest.raises(DeviceFault, match="did not finish within 1 s"):
        probe(model, timeout_s=1)


def test_grandchildren_are_killed_too(fake_runtime, tmp_path):
    mark = tmp_path / "pid"
    code = f"import subprocess; open({str(mark)!r}, 'w').write(str(subprocess.Popen(['sleep', '1000']).pid)); time.sleep(1000)"
    with pytest.raises(DeviceFault, match="did not finish"):
        probe(fake_runtime(code), timeout_s=2)
    assert is_gone(int(mark.read_text()))


def test_noise_does_not_reach_the_answer_or_the_screen(fake_runtime, capfd):
    model = fake_runtime("os.write(1, b'{\"answer\": 1}\\n' * 9999); os.write(2, b'\\xff{\\n'); print('x')")
    assert probe(model)["runtime_version"] == "fake"
    assert capfd.readouterr() == ("", "")


@linux
def test_garbage_in_the_message_pipe_is_a_fault(fake_runtime):
    message_pipes = (
        "for n in os.listdir('/dev/fd') if int(n) > 2 and os.path.exists('/dev/fd/' + n) and 'pipe' in os.readlink('/dev/fd/' + n)"
    )
    every_file = f"[os.write(int(n), b'rubbish\\n') {message_pipes}]"
    with pytest.raises(DeviceFault, match=r"the child process sent b'rubbish', which is no message, while running the model"):
        probe(fake_runtime(every_file))


@linux
def test_child_inherits_no_files_and_no_locks(fake_runtime, tmp_path):
    held = (tmp_path / "lock").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    os.set_inheritable(held.fileno(), True)
    listing = "[os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')]"
    with pytest.raises(DeviceFault) as caught:
        probe(fake_runtime(f"raise ValueError(' '.join({listing}))"))
    held.close()
    assert "pipe:" in caught.value.reason
    assert "lock" not in caught.value.reason


@linux
def test_no_file_stays_open_in_the_parent(tiny_file, fake_runtime):
    good, bad = tiny_file("double"), {"job": "no such job", "model": ""}
    before = os.listdir("/proc/self/fd")
    probe(good)
    with pytest.raises(DeviceFault, match="KeyError: 'no such job'"):
        run_job(bad, timeout_s=60)
    assert os.listdir("/proc/self/fd") == before


def test_current_folder_and_relative_paths(tiny_file, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the current folder was searched for modules')")
    (tmp_path / "tempfile.py").write_text("raise SystemExit('the current folder was searched for modules')")
    monkeypatch.chdir(tmp_path)
    assert probe(os.path.basename(tiny_file("double")))["inputs"]


def test_missing_python_is_a_fault(monkeypatch, tiny_file):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(DeviceFault, match="no child process can be started"):
        probe(tiny_file("double"))


def test_closing_twice_and_sending_to_the_dead_are_harmless(fake_runtime):
    with Child({"job": "probe", "model": fake_runtime("os.abort()")}, timeout_s=60) as child:
        with pytest.raises(DeviceFault, match="SIGABRT"):
            child.receive()
        child.send({"step": "x" * 100_000})
        child.close()
        child.close()


def is_gone(process, within_s=5.0):
    """Whether a process ends (or is a zombie of somebody else) in time."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            os.kill(process, 0)
            status = Path(f"/proc/{process}/stat")
            if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    "invoke",
    [
        "time.sleep(1000)",  # the watching thread ends it
        pytest.param("ctypes.PyDLL(None).sleep(1000)", marks=linux),  # it holds the interpreter lock: only the kernel can
    ],
)
def test_child_dies_with_a_parent_killed_by_sigkill(fake_runtime, tmp_path, invoke):
    mark = tmp_path / "pid"
    model = fake_runtime(f"open({str(mark)!r}, 'w').write(str(os.getpid())); {invoke}")
    code = f"from edgecompress.device.child import run_job; run_job({{'job': 'probe', 'model': {model!r}}}, timeout_s=1000)"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        until = time.monotonic() + 20
        while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
            time.sleep(0.02)
        child = int(mark.read_text())
        assert not is_gone(child, within_s=0.1)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert is_gone(child)
