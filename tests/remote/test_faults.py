"""Whatever goes wrong on a host or on the way to it costs that host only, is said in words, and leaves nothing there. Over real SSH."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgecompress.benchmarking import Measurement
from edgecompress.bundle import model_bundle, run_bundle
from edgecompress.bundle.pack import PROGRAM
from edgecompress.errors import DeviceError
from edgecompress.host_benchmark import ask_doctor, benchmark_hosts, benchmark_places
from edgecompress.progress import Progress
from edgecompress.remote import Job, ask_hosts

BASE_PYTHON = f'exec {sys._base_executable} -I -S "$@"'  # without site packages


def measure(host, model, *, timeout_s=60.0, hosts=None, **options):
    """The entries of a benchmark of one tiny model."""
    wanted = Measurement(threads=[1], runs=50, timeout_s=timeout_s, **options)
    return benchmark_hosts(model_bundle(model), hosts or [host.name], wanted, ssh_config=host.config, progress=Progress())


def error_of(host, model, **options):
    """The one error, after which the host is clean."""
    (entry,) = measure(host, model, **options)
    assert entry.p50_ms is None
    assert host.is_clean()
    return entry.error


def test_model_is_measured_and_nothing_is_left(make_host, model):
    host = make_host()
    (entry,) = measure(host, model)
    assert entry.error is None
    assert entry.p50_ms > 0
    assert (entry.host, entry.model) == ("board", "tiny")
    assert host.is_clean(within_s=0)  # the answer comes after the cleaning


def test_host_behind_another_is_reached_as_the_users_configuration_says(make_host, model):
    host = make_host()
    host.config.write_text(
        f"{host.config.read_text()}Host far\n  HostName 127.0.0.1\n  Port {host.port}\n  HostKeyAlias board\n  ProxyJump board\n"
        f"  IdentityFile {host.keys}/client\n  UserKnownHostsFile {host.known_hosts}\n"
    )
    (entry,) = measure(host, model, hosts=["far"])
    assert entry.error is None
    assert entry.host == "far"
    assert host.is_clean(within_s=0)


def test_damaged_bundle_and_other_golden_outputs_are_not_timed(make_host, finished_run):
    host, files = make_host(), run_bundle(finished_run)
    damaged = {**files, "plain.tflite": files["plain.tflite"] + b"\0"}
    (entry,) = benchmark_hosts(damaged, [host.name], Measurement(), ssh_config=host.config, progress=Progress())
    assert "plain.tflite: it is not the file that was packed" in entry.error
    manifest = json.loads(files["manifest.json"])
    with np.load(io.BytesIO(files["golden.npz"])) as stored:
        arrays = {name: values + np.float32(1) if name.startswith(("xnnpack", "builtin")) else values for name, values in stored.items()}
    changed = io.BytesIO()
    np.savez(changed, **arrays)
    manifest["bundle"]["sha256"]["golden.npz"] = hashlib.sha256(changed.getvalue()).hexdigest()
    other = {**files, "golden.npz": changed.getvalue(), "manifest.json": json.dumps(manifest).encode()}
    entries = benchmark_hosts(other, [host.name], Measurement(), ssh_config=host.config, progress=Progress())
    assert "golden outputs differ" in entries[0].error
    assert "is off by 1" in entries[0].error
    assert entries[0].p50_ms is None
    assert [entry.error for entry in entries[1:]] == [None, None]
    assert host.is_clean()


def test_more_threads_than_cores_are_not_trusted_and_said(make_host, model):
    host = make_host()
    wanted = Measurement(threads=[99], runs=50)
    (entry,) = benchmark_hosts(model_bundle(model), [host.name], wanted, ssh_config=host.config, progress=Progress())
    assert any(reason.startswith("99 threads shared ") for reason in entry.distrust_reasons)


def test_noise_of_login_scripts_does_not_disturb(make_host, model):
    host = make_host(python=f'echo welcome to the board; echo edgecompress; exec {sys.executable} "$@"')
    assert measure(host, model)[0].error is None


def test_noise_without_an_end_of_line_does_not_swallow_the_answer(make_host):
    host = make_host(python=f'printf "welcome to edgecompress: "; exec {sys.executable} "$@"')
    (outcome,) = ask_doctor([host.name], ssh_config=host.config)
    assert outcome.answer["machine"]["cores"] >= 1


def test_unknown_host_costs_that_host_only(make_host, model):
    host = make_host()
    entries = measure(host, model, hosts=["board", "nosuch.invalid"])
    assert [entry.error is None for entry in entries] == [True, False]
    assert "the host cannot be reached" in entries[1].error


def test_wrong_host_key_is_refused(make_host, model, keys):
    host = make_host()
    host.know(keys / "other.pub")
    assert "the host's key is not the one that known_hosts has" in error_of(host, model)


def test_host_key_that_is_not_known_is_not_accepted(make_host, model):
    host = make_host()
    host.known_hosts.write_text("")
    host.config.write_text(host.config.read_text() + "  StrictHostKeyChecking no\n")  # not even then
    assert "the host's key is not known yet" in error_of(host, model)
    assert host.known_hosts.read_text() == ""


def test_key_that_does_not_open_is_said(make_host, model, keys):
    host = make_host()
    host.config.write_text(host.config.read_text().replace("client", "other"))
    assert "ssh-copy-id" in error_of(host, model)


def test_host_without_python(make_host, model):
    assert "python3 must be installed there: sudo apt install python3" in error_of(make_host(python=None), model)


def test_host_without_runtime_is_told_what_to_install(make_host, model):
    error = error_of(make_host(python=BASE_PYTHON), model)
    assert "NumPy and a TFLite runtime cannot be imported" in error
    assert "python3 -m pip install" in error


def test_runtime_that_is_too_old_for_the_model(make_host, model, fake_runtime):
    words = "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'"
    host = make_host(python=fake_runtime(load=f"raise ValueError({words!r})"))
    assert words in error_of(host, model)


def test_model_that_aborts(make_host, model, fake_runtime):
    assert "SIGABRT" in error_of(make_host(python=fake_runtime(invoke="os.abort()")), model)


def test_model_that_never_returns(make_host, model, fake_runtime):
    assert "did not finish within 2 s" in error_of(make_host(python=fake_runtime(invoke="time.sleep(600)")), model, timeout_s=2.0)


def test_full_disk(make_host, model, small_disk):
    assert "the disk of its temporary folder is full" in error_of(make_host(TMPDIR=str(small_disk)), model)


def test_temporary_folder_that_cannot_be_written(make_host, model, tmp_path):
    (tmp_path / "file").write_text("")
    assert "no temporary folder can be made: Not a directory" in error_of(make_host(TMPDIR=str(tmp_path / "file")), model)


def test_host_that_falls_silent_is_given_up(make_host, model):
    host = make_host(python="exec /bin/sleep 600")
    (outcome,) = ask_hosts([host.name], Job({"job": "doctor"}, {}, PROGRAM), ssh_config=host.config, silence_s=2.0)
    assert "the host has said nothing for 2 s" in outcome.error


# Bytes to the host: before the greeting, in it, in the exchange of keys, after it, in the files; the bundle has about 55,000.
@pytest.mark.parametrize("limit", [0, 10, 600, 1800, 2600, 4000, 8000, 20_000, 40_000, 58_000])
def test_connection_that_is_cut_on_the_way(make_host, model, cut_after, limit, fake_runtime):
    host = make_host(python=fake_runtime(invoke="time.sleep(600)"))
    cut_after(host, limit)
    assert error_of(host, model)


def during_the_benchmark(host, model, action):
    """Does something to the line while the host measures; the error of the job."""
    files, acted = model_bundle(model), threading.Event()

    def act(_done, _total, words, _host):
        if words.startswith("loading") and not acted.is_set():
            acted.set()
            threading.Thread(target=action).start()

    job = Job({"job": "benchmark", "timeout_s": 600}, files, PROGRAM)
    (outcome,) = ask_hosts([host.name], job, ssh_config=host.config, on_progress=act)
    assert acted.is_set()
    assert host.is_clean()
    return outcome.error


def test_connection_that_is_cut_while_the_host_measures(make_host, model, cut_after, fake_runtime):
    host = make_host(python=fake_runtime(invoke="time.sleep(600)"))
    proxy = cut_after(host, None)
    assert "the connection ended before the answer" in during_the_benchmark(host, model, proxy.cut)


def test_killed_sshd(make_host, model, fake_runtime):
    host = make_host(python=fake_runtime(invoke="time.sleep(600)"))
    assert "the connection ended before the answer" in during_the_benchmark(host, model, host.kill_sessions)


def test_killed_python_on_the_host_leaves_nothing(make_host, model, fake_runtime):
    host = make_host(python=fake_runtime(invoke="time.sleep(600)"))

    def kill():
        programs = [number for number in host.descendants() if b"version_info" in Path(f"/proc/{number}/cmdline").read_bytes()]
        os.kill(programs[0], signal.SIGKILL)  # the others are its own

    assert during_the_benchmark(host, model, kill)


def test_two_benchmarks_at_once_take_turns(make_host, model, fake_runtime):
    host = make_host(python=fake_runtime(invoke="time.sleep(0.01)"))
    job, said, outcomes = Job({"job": "benchmark", "timeout_s": 60, "runs": 50}, model_bundle(model), PROGRAM), [], []

    def ask():
        outcomes.extend(ask_hosts([host.name], job, ssh_config=host.config, on_progress=lambda *step: said.append(step)))

    both = [threading.Thread(target=ask) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert any(words.startswith("waits for another benchmark there: process ") for _, _, words, _ in said)
    assert any(done == total > 10 for done, total, _, _ in said)  # so that a bar knows the time left
    assert host.is_clean()


@pytest.mark.parametrize("name", ["-oProxyCommand=touch /tmp/x", "a b", "$(id)", "a;b", "`id`", "", "%h"])
def test_what_is_no_destination_is_refused_before_anything_is_done(model, name):
    with pytest.raises(DeviceError, match="host must be a destination of ssh"):
        benchmark_places(model, [name], Measurement(), progress=Progress())


def test_doctor_describes_a_host(make_host):
    host = make_host(python=BASE_PYTHON)
    (outcome,) = ask_doctor([host.name], ssh_config=host.config)
    assert outcome.answer["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert outcome.answer["machine"]["runtime"] is None
    assert "pip install" in outcome.answer["problems"][0]["command"]
    assert host.is_clean()


def command(*arguments, **options):
    """The program as a user calls it."""
    return subprocess.run([sys.executable, "-m", "edgecompress", *arguments], capture_output=True, text=True, timeout=120, **options)


def test_command_has_exit_code_four_and_keeps_the_others(make_host, model, tmp_path):
    host = make_host()
    finished = command("benchmark", str(model), "--host", "board", "--host", "nosuch.invalid", "--ssh-config", str(host.config),
                       "--runs", "50", "--json", str(tmp_path / "out.json"))  # fmt: skip
    assert finished.returncode == 4, finished.stderr
    entries = json.loads((tmp_path / "out.json").read_text())["benchmark"]
    assert [entry["p50_ms"] is not None for entry in entries] == [True, False]
    assert finished.stderr.startswith("A device failed: final on nosuch.invalid: the host cannot be reached")


def test_doctor_command_has_exit_code_four_for_a_host_without_runtime(make_host):
    host = make_host(python=BASE_PYTHON)
    finished = command("doctor", "--host", "board", "--ssh-config", str(host.config))
    assert finished.returncode == 4
    assert "pip install" in finished.stdout
    assert finished.stderr == "A device failed: board: no runtime.\n"
