"""The whole way on a board over SSH: measured from here, and by hand. EDGECOMPRESS_BOARD_RUNTIME says what is installed there."""

import json
import os
import shlex
import shutil
import subprocess
import time

import pytest

from edgecompress.cli import main
from edgecompress.report import Report

UP_HINT = "needs EDGECOMPRESS_BOARD_UP: a command that starts the board again with another core ($ARM64_CPU)"


@pytest.fixture(params=["cortex-a53", "cortex-a72", "cortex-a76"])
def core(request, board):
    """The board emulates this core meanwhile."""
    up = os.environ.get("EDGECOMPRESS_BOARD_UP")
    if up is None:
        pytest.skip(UP_HINT)
    _start_board(up, {**os.environ, "ARM64_CPU": request.param})
    yield request.param
    _start_board(up, dict(os.environ))


def _start_board(up, environment, attempts=5):
    """Starts it again; on a busy machine the old server may still hold the port."""
    for _ in range(attempts):
        finished = subprocess.run(shlex.split(up), env=environment, capture_output=True, text=True, timeout=600)
        if finished.returncode == 0:
            return
        time.sleep(1)
    raise RuntimeError(finished.stderr)


@pytest.fixture
def on_board(board):
    """Runs a shell command there: its standard output."""
    name, config = board

    def run(command, **options):
        finished = subprocess.run(["ssh", "-F", config, name, command], capture_output=True, timeout=300, check=False, **options)
        assert finished.returncode == 0, finished.stderr.decode()
        return finished.stdout.decode()

    return run


def test_run_is_measured_there_and_merged_and_nothing_is_left(board, on_board, finished_run, tmp_path):
    name, config = board
    run = shutil.copytree(finished_run, tmp_path / "run")
    before = on_board("ls -A /tmp")
    options = ["--samples", "20", "--operators", "--runs", "50"]
    assert main(["benchmark", str(run), "--host", name, "--host", "local", "--ssh-config", config, *options]) == 0
    assert on_board("ls -A /tmp") == before
    report = Report.load(run)
    there, here = ({entry.model: entry for entry in report.benchmark if entry.host == host} for host in (name, "local"))
    assert set(there) == {"final", "plain", "baseline"}  # so the golden outputs agreed
    assert all(entry.p50_ms > 0 for entry in there.values())
    wanted = os.environ.get("EDGECOMPRESS_BOARD_RUNTIME")
    assert wanted is None or {entry.runtime for entry in there.values()} == {wanted}
    for model, entry in there.items():
        assert entry.accuracy["samples"] == here[model].accuracy["samples"] == 20
        assert abs(entry.accuracy["right"] - here[model].accuracy["right"]) <= 1  # where two outputs are one step apart
    timed = there["final"].operators["timed"]
    assert [one["index"] for one in timed] == [operator.index for operator in report.operators]
    assert all(one["error"] is None for one in timed)
    emulated = [entry for entry in there.values() if entry.cpu["emulated"]]
    assert not any(entry.trusted for entry in emulated)
    assert all(entry.cpu["model"].startswith("emulated ") for entry in emulated)
    assert "its times mean nothing" in (run / "report.md").read_text() or not emulated


@pytest.mark.full
def test_golden_outputs_agree_on_every_core_with_both_kernel_families(board, core, on_board, finished_run, tmp_path):
    name, config = board
    assert on_board("echo $QEMU_CPU").strip() == core
    run = shutil.copytree(finished_run, tmp_path / "run")
    options = ["--kernels", "xnnpack,builtin", "--runs", "50"]
    assert main(["benchmark", str(run), "--host", name, "--ssh-config", config, *options]) == 0
    report = Report.load(run)
    entries = [entry for entry in report.benchmark if entry.host == name]
    assert all(entry.golden["largest_difference"] <= 1 for entry in entries)  # float to 1e-4, int8 to one step
    assert all(entry.golden["across"]["agreement"] == 1 for entry in entries)
    assert {entry.kernels for entry in entries if entry.model == "baseline"} == {"xnnpack", "builtin"}
    assert "against the" in (run / "report.md").read_text()


def test_doctor_describes_it(board, on_board, capsys):
    name, config = board
    assert main(["doctor", "--host", name, "--ssh-config", config, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["hosts"]
    assert found["machine"]["architecture"] == on_board("uname -m").strip()
    assert found["machine"]["bits"] == int(on_board("getconf LONG_BIT"))
    assert found["machine"]["runtime"] is not None


def test_bundle_is_unpacked_measured_and_used_there_by_hand(board, on_board, finished_run, tmp_path):
    from matplotlib import image
    from sklearn.datasets import load_digits

    run = shutil.copytree(finished_run, tmp_path / "run")
    assert main(["bundle", str(run), "-o", str(tmp_path / "digits.zip")]) == 0
    image.imsave(tmp_path / "two.png", load_digits().images[2], cmap="gray", vmin=0, vmax=255)
    folder = on_board("mktemp -d").strip()
    try:
        place = shlex.quote(folder)
        for file in ("digits.zip", "two.png"):
            on_board(f"cat > {place}/{file}", input=(tmp_path / file).read_bytes())
        on_board(f"cd {place} && python3 -m zipfile -e digits.zip . && python3 benchmark_device.pyz --runs 50")
        (tmp_path / "device.json").write_text(on_board(f"cat {place}/device.json"))
        assert on_board(f"cd {place} && python3 predict.py two.png").splitlines()[0].split()[-1] == "2"
    finally:
        on_board(f"rm -r {place}")
    assert main(["report", str(run), "--device", str(tmp_path / "device.json")]) == 0
    assert {entry.model for entry in Report.load(run).benchmark if entry.host != "local"} == {"final", "plain", "baseline"}
