"""Energy is what a meter shows above an idle board, or it is absent."""

import pytest

from edgecompress.device import power, sustained


@pytest.fixture
def meter(tmp_path):
    """A made-up /sys with an INA219 that shows 2.5 W, beside a chip that is none."""
    for number, name in enumerate(("cpu_thermal", "ina219")):
        folder = tmp_path / f"sys/class/hwmon/hwmon{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "power1_input").write_text("2500000\n")
    return tmp_path


def test_meter_is_found_among_other_chips(meter, tmp_path):
    assert power.find_meter(meter) == ("ina219", tmp_path / "sys/class/hwmon/hwmon1/power1_input")
    assert power.find_meter(tmp_path / "elsewhere") is None


def test_energy_is_the_power_above_idle_times_time_by_hand():
    found = power.energy("ina219", idle_w=2.0, busy_w=5.0, seconds=10.0, invokes=600)
    assert found["mj_per_invoke"] == pytest.approx(50.0)  # 3 W x 10 s / 600
    assert found["measured"]


@pytest.mark.parametrize(("idle_w", "busy_w"), [(None, 5.0), (2.0, None)])
def test_energy_is_absent_where_something_was_not_measured(idle_w, busy_w):
    found = power.energy("ina219", idle_w, busy_w, 10.0, 600)
    assert (found["measured"], found["mj_per_invoke"]) == (False, None)


def test_samples_that_fail_are_left_out_and_few_give_no_mean(meter):
    _, file = power.find_meter(meter)
    assert power.idle_power_w(file, seconds=1.5) == 2.5
    assert power.idle_power_w(file, seconds=0.1) is None
    file.write_text("busy")
    assert power.idle_power_w(file, seconds=1.0) is None


def test_minutes_measure_energy_where_there_is_a_meter(meter, tiny_file, monkeypatch):
    monkeypatch.setattr(sustained, "_WINDOW_S", 0.3)
    monkeypatch.setattr(sustained, "_IDLE_S", 1.0)
    monkeypatch.setattr(sustained, "find_meter", lambda: power.find_meter(meter))
    found = sustained.measure_sustained(tiny_file("double"), None, threads=1, minutes=0.03, timeout_s=60, on_progress=None)
    assert found["energy"] == {"measured": True, "meter": "ina219", "idle_w": 2.5, "busy_w": 2.5, "mj_per_invoke": 0.0}
    assert "mJ an invoke (ina219)" in sustained.describe_sustained(found)


def test_minutes_without_a_meter_say_so(tiny_file, monkeypatch):
    monkeypatch.setattr(sustained, "_WINDOW_S", 0.3)
    monkeypatch.setattr(sustained, "_IDLE_S", 0.2)
    monkeypatch.setattr(sustained, "find_meter", lambda: None)
    found = sustained.measure_sustained(tiny_file("double"), None, threads=1, minutes=0.01, timeout_s=60, on_progress=None)
    assert found["energy"]["measured"] is False
    (idle_from, idle_until), (busy_from, busy_until) = found["idle_unix_s"], found["busy_unix_s"]
    assert idle_until - idle_from >= 0.2
    assert idle_until <= busy_from
    assert busy_until - busy_from >= 0.6
    assert "energy not measured" in sustained.describe_sustained(found)
