"""Energy by a meter beside the board: what its CSV says above the idle board."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from edgecompress.cli import main
from edgecompress.energy import mean_power, read_power
from edgecompress.errors import DataError
from edgecompress.report import Report

START = 1_800_000_000.0
SUSTAINED = {
    "minutes": 1.0, "threads": 1, "slowdown": 1.0, "windows": [{"at_s": 60.0, "invokes": 3000, "p50_ms": 20.0, "max_ms": 21.0,
    "mean_ms": 20.0, "temperature_celsius": None, "frequency_khz": None, "throttled": None}],
    "energy": {"measured": False, "meter": None, "idle_w": None, "busy_w": None, "mj_per_invoke": None},
    "idle_unix_s": [START, START + 20], "busy_unix_s": [START + 30, START + 90],
}  # fmt: skip


@pytest.fixture
def run(finished_run, tmp_path):
    """A run that was measured for a minute on a board called pi."""
    folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
    content = json.loads((folder / "report.json").read_text())
    content["benchmark"].append({"model": "final", "host": "pi", "threads": 1, "p50_ms": 20.0, "sustained": SUSTAINED})
    (folder / "report.json").write_text(json.dumps(content))
    return folder


def write_csv(path, *, power=lambda second: 2.0 if second < 25 else 5.0, shift=0.0, stamp=lambda second: f"{second:.3f}"):
    """A reading each second, 2 W at rest and 5 W while the model runs, unless said otherwise."""
    rows = [f"{stamp(START + second + shift)},{power(second)}" for second in range(100)]
    path.write_text("\n".join(["time,power_w", *rows]) + "\n")
    return str(path)


def energy_of(run):
    return next(entry.sustained["energy"] for entry in Report.load(run).benchmark if entry.host == "pi")


def test_energy_by_hand(run, tmp_path):
    assert main(["report", str(run), "--meter", write_csv(tmp_path / "power.csv")]) == 0
    found = energy_of(run)
    assert (found["measured"], found["meter"], found["idle_w"], found["busy_w"]) == (True, "power.csv", 2.0, 5.0)
    assert found["mj_per_invoke"] == pytest.approx(60.0)  # 3 W x 60 s / 3000 invokes
    assert "60 mJ an invoke (power.csv)" in (run / "report.md").read_text()


def test_iso_times_voltage_and_current_and_other_columns_are_read(run, tmp_path):
    rows = [
        f"x,{datetime.fromtimestamp(START + second, UTC).isoformat()},5.0,{0.4 if second < 25 else 1.0}" for second in reversed(range(100))
    ]
    path = tmp_path / "power.csv"
    path.write_text("\n".join(["note,Time,voltage_V,current_A", *rows]))
    assert main(["report", str(run), "--meter", str(path), "--host", "pi"]) == 0
    assert energy_of(run)["mj_per_invoke"] == pytest.approx(60.0)


def test_clock_of_the_meter_is_set_right(run, tmp_path, capsys):
    path = write_csv(tmp_path / "power.csv", shift=-3600.0)
    assert main(["report", str(run), "--meter", path]) == 2
    error = capsys.readouterr().err
    assert "at least 10 readings of the 20 s that pi was idle" in error
    assert "Received: 0. If its clock is another one, --meter-offset sets it right." in error
    assert energy_of(run)["measured"] is False
    assert main(["report", str(run), "--meter", path, "--meter-offset", "3600"]) == 0
    assert energy_of(run)["mj_per_invoke"] == pytest.approx(60.0)


def test_uneven_readings_count_by_the_time_they_stand_for():
    times = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 18.0])
    watts = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 3.0])
    assert mean_power(times, watts, 0, 18) == pytest.approx((8 * 1 + 10 * 2) / 18)
    assert mean_power(times, watts, 0, 8) is None  # nine


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ":1: columns must be time, and power_w or voltage_v and current_a. Received: none."),
        ("time,watts\n1,2\n", ":1: columns must be time"),
        ("time,power_w\n1,2\n2,much\n", ":3: must be a time and numbers. Received: could not convert string to float: 'much'."),
        ("time,power_w\nnoon,2\n", ":2: must be a time and numbers."),
        ("time,power_w\n1\n", ":2: must be a time and numbers."),
        ("time,power_w\n1,nan\n", ":2: must be a time and numbers. Received: a number that is not finite."),
    ],
)
def test_what_is_no_csv_of_a_meter_is_refused_with_its_line(tmp_path, text, words):
    path = tmp_path / "power.csv"
    path.write_text(text)
    with pytest.raises(DataError) as refused:
        read_power(path)
    assert f"{path}{words}" in str(refused.value)


def test_meter_without_minutes_is_refused(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "other")
    assert main(["report", str(run), "--meter", write_csv(tmp_path / "power.csv")]) == 2
    assert "must go with a benchmark that ran for minutes (--minutes)" in capsys.readouterr().err
    assert main(["report", str(run), "--meter", str(tmp_path / "gone.csv")]) == 2


def test_two_boards_need_a_name(run, tmp_path, capsys):
    content = json.loads((run / "report.json").read_text())
    content["benchmark"].append({**content["benchmark"][-1], "host": "coral"})
    (run / "report.json").write_text(json.dumps(content))
    path = write_csv(tmp_path / "power.csv")
    assert main(["report", str(run), "--meter", path]) == 2
    assert "--host must say which board it was at: pi, coral" in capsys.readouterr().err
    assert main(["report", str(run), "--meter", path, "--host", "coral"]) == 0
    assert energy_of(run)["measured"] is False


def sustained_on_day(day):
    """The minutes of another day."""
    shift = 86_400.0 * day
    return {**SUSTAINED, **{key: [moment + shift for moment in SUSTAINED[key]] for key in ("idle_unix_s", "busy_unix_s")}}


def test_meter_of_one_day_leaves_the_minutes_of_another_as_they_are(run, tmp_path):
    """A narrower benchmark keeps the minutes of other threads, which this meter never saw."""
    content = json.loads((run / "report.json").read_text())
    content["benchmark"].append({**content["benchmark"][-1], "threads": 2, "sustained": sustained_on_day(1)})
    (run / "report.json").write_text(json.dumps(content))

    def meters():
        return {entry.threads: entry.sustained["energy"]["meter"] for entry in Report.load(run).benchmark if entry.host == "pi"}

    assert main(["report", str(run), "--meter", write_csv(tmp_path / "second.csv", shift=86_400.0)]) == 0
    assert meters() == {1: None, 2: "second.csv"}
    assert main(["report", str(run), "--meter", write_csv(tmp_path / "first.csv")]) == 0
    assert meters() == {1: "first.csv", 2: "second.csv"}


def test_meter_that_covers_no_minutes_is_told_of_the_last_ones(run, tmp_path, capsys):
    content = json.loads((run / "report.json").read_text())
    content["benchmark"].insert(0, {**content["benchmark"][-1], "threads": 2, "sustained": sustained_on_day(1)})
    (run / "report.json").write_text(json.dumps(content))
    before = (run / "report.json").read_bytes()
    assert main(["report", str(run), "--meter", write_csv(tmp_path / "power.csv", shift=-3600.0)]) == 2
    wanted = datetime.fromtimestamp(START + 86_400.0).astimezone().isoformat(timespec="seconds")
    assert f"pi was idle, from {wanted} on. Received: 0." in " ".join(capsys.readouterr().err.split())
    assert (run / "report.json").read_bytes() == before
