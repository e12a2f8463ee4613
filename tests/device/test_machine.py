"""What is read of the machine, on made-up /proc and /sys trees, and what is called untrustworthy."""

import dataclasses
import os

import pytest

from edgecompress.device import machine

QUIET = machine.Snapshot(100.0, 10.0, 500.0, 3.0, 0.1, 50.0, None)


def later(**changes):
    """Ten seconds after QUIET, of which the measurement itself used all."""
    return dataclasses.replace(QUIET, clock_s=110.0, own_s=20.0, busy_s=510.0, **changes)


def reasons(before=QUIET, after=None, governor=None, cores=4):
    return machine.distrust_reasons(before, after or later(), governor=governor, cores=cores)


@pytest.fixture
def write_tree(tmp_path):
    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture
def fake_vcgencmd(tmp_path, monkeypatch):
    def install(script):
        program = tmp_path / "bin" / "vcgencmd"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return install


def test_raspberry_pi_is_described(write_tree):
    root = write_tree({
        "proc/cpuinfo": "processor\t: 0\nCPU part\t: 0xd08\n\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
    })  # fmt: skip
    assert machine.describe_cpu(root) == {
        "model": "Raspberry Pi 4 Model B Rev 1.4", "cores": machine.num_cores(), "governor": "ondemand", "frequency_khz": 1500000,
        "emulated": False,
    }  # fmt: skip
    assert machine.read_temperature_celsius(root) == 48.312


def test_unknown_is_none(tmp_path):
    assert machine.describe_cpu(tmp_path) == {
        "model": None, "cores": machine.num_cores(), "governor": None, "frequency_khz": None, "emulated": False
    }  # fmt: skip
    snapshot = machine.take_snapshot(tmp_path)
    assert (snapshot.busy_s, snapshot.stolen_s, snapshot.temperature_celsius) == (None, None, None)


def test_board_name_of_the_device_tree_and_processor_name_of_a_pc(write_tree):
    assert machine.describe_cpu(write_tree({"proc/device-tree/model": "Coral Dev Board\0"}))["model"] == "Coral Dev Board"
    assert machine.describe_cpu(write_tree({"proc/cpuinfo": "model\t: 2\nmodel name\t: AMD EPYC: 9\n"}))["model"] == "AMD EPYC: 9"


def test_other_parts_of_the_machine_give_no_processor_temperature(write_tree):
    root = write_tree({"sys/class/thermal/thermal_zone0/type": "acpitz", "sys/class/thermal/thermal_zone0/temp": "27800"})
    assert machine.read_temperature_celsius(root) is None


def test_busy_time_leaves_out_idle_waiting_and_stolen(write_tree):
    ticks = os.sysconf("SC_CLK_TCK")
    root = write_tree(
        {"proc/stat": f"cpu  {1 * ticks} {2 * ticks} {3 * ticks} 999 999 {4 * ticks} {5 * ticks} {6 * ticks} 7 7\ncpu0 1 1\n"}
    )
    snapshot = machine.take_snapshot(root)
    assert (snapshot.busy_s, snapshot.stolen_s) == (15.0, 6.0)


def test_quiet_machine_gives_no_reason():
    assert reasons() == []
    assert reasons(governor="performance") == []


def test_governor_is_a_reason():
    assert reasons(governor="powersave") == ["the CPU governor is 'powersave', not 'performance'"]


def test_only_others_work_counts():
    assert reasons(after=dataclasses.replace(later(), busy_s=525.0)) == ["other processes used 1.5 cores meanwhile"]


def test_stolen_time_is_a_reason():
    assert reasons(after=dataclasses.replace(later(), stolen_s=5.0)) == ["the hypervisor took 5% of the processor time"]


def test_load_average_is_the_fallback():
    before = dataclasses.replace(QUIET, busy_s=None, stolen_s=None, load=3.0)
    assert reasons(before, cores=4) == ["the load average was 3.0 on 4 cores"]
    assert reasons(before, cores=8) == []


def test_short_periods_say_nothing_about_others():
    assert reasons(after=dataclasses.replace(QUIET, clock_s=100.1, busy_s=500.3)) == []


@pytest.mark.parametrize(
    ("bits", "now", "words"),
    [
        (0x0, False, []),
        (0x1, True, ["the board reports: under-voltage"]),
        (0x50000, False, ["the board reports, earlier since its start: " + words for words in ("under-voltage", "throttled")]),
        (0x50005, True, ["the board reports: under-voltage", "the board reports: throttled"]),
        (0x8, True, ["the board reports: the soft temperature limit is active"]),
    ],
)
def test_throttle_bits_in_words(bits, now, words):
    before, after = dataclasses.replace(QUIET, throttle_bits=0), dataclasses.replace(later(), throttle_bits=bits)
    assert machine.is_throttled(before, after) is now
    assert reasons(before, after) == words


def test_throttling_is_unknown_without_vcgencmd():
    assert machine.is_throttled(QUIET, later()) is None


@pytest.mark.parametrize(
    ("script", "bits"), [("echo throttled=0x50005", 0x50005), ("echo error=1", None), ("exit 3", None), ("echo throttled=x", None)]
)
def test_vcgencmd_is_read(fake_vcgencmd, script, bits):
    fake_vcgencmd(script)
    assert machine.take_snapshot().throttle_bits == bits


def test_this_machine_is_read_without_error():
    before = machine.take_snapshot()
    assert machine.describe_cpu()["cores"] >= 1
    assert machine.take_snapshot().own_s >= before.own_s


@pytest.mark.parametrize(
    ("kernel", "own", "emulated"),
    [
        ("x86_64", "aarch64", True), ("x86_64", "armv7l", True), ("aarch64", "armv7l", False), ("aarch64", "aarch64", False),
        ("x86_64", "x86_64", False), ("riscv64", "aarch64", True),
    ],
)  # fmt: skip
def test_another_architecture_than_the_kernels_is_an_emulation_and_never_called_by_the_real_processors_name(
    write_tree, monkeypatch, kernel, own, emulated
):
    monkeypatch.setattr("platform.machine", lambda: own)
    root = write_tree({"proc/sys/kernel/arch": f"{kernel}\n", "proc/cpuinfo": "model name\t: Intel(R) Xeon(R)\n"})
    cpu = machine.describe_cpu(root)
    assert cpu["emulated"] is emulated
    assert cpu["model"] == (f"emulated {own}" if emulated else "Intel(R) Xeon(R)")


def test_times_of_an_emulated_processor_are_not_trusted():
    assert machine.distrust_reasons(QUIET, later(), governor=None, cores=4, emulated=True) == [
        "the processor is emulated: its times mean nothing"
    ]


def test_swapping_meanwhile_is_a_reason(write_tree):
    root = write_tree({"proc/vmstat": "nr_free_pages 5\npswpin 30\npswpout 12\n"})
    assert machine.take_snapshot(root).swapped_pages == 42
    before, after = (dataclasses.replace(snapshot, swapped_pages=pages) for snapshot, pages in ((QUIET, 42), (later(), 1_542)))
    assert reasons(before, after) == ["the machine swapped: 1,500 pages meanwhile"]
    assert reasons(before, dataclasses.replace(after, swapped_pages=42)) == []


@pytest.mark.parametrize(
    ("kernel", "largest", "narrow"), [("aarch64", 2**31 - 1, True), ("aarch64", 2**63 - 1, False), ("armv7l", 2**31 - 1, False)]
)
def test_user_land_of_32_bits_on_a_64_bit_kernel_is_a_reason(monkeypatch, kernel, largest, narrow):
    monkeypatch.setattr("platform.machine", lambda: kernel)
    monkeypatch.setattr("sys.maxsize", largest)
    expected = ["a 32-bit Python runs on a 64-bit processor: it lacks the fast int8 kernels"] if narrow else []
    assert reasons() == expected
