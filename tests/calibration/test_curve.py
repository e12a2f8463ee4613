"""How many calibration samples are enough."""

import json

import pytest

from edgecompress.calibration.curve import enough
from edgecompress.cli import main


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([10, 20, 30, 30.2], 5),  # from 5 on within half a decibel of the last
        ([30, 20, 30, 30], 5),  # 1 was luck: 2 is not enough
        ([10, 20, 25, 30], 10),
        ([31, 32, 31, 30], 1),
    ],
)
def test_enough_is_where_the_curve_stays(ratios, expected):
    assert enough([1, 2, 5, 10], ratios) == expected


def test_command_tries_numbers_of_samples(tmp_path, capsys):
    command = ["calibration", "builtin:quickstart.yaml", "--set", "model.train.epochs=2", "--set", "model.name=mlp"]
    command += ["--set", "data.calibration=20", "--out", str(tmp_path), "--quiet"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["numbers"] == [1, 2, 5, 10, 20]
    assert found["snr_db"][0] < found["snr_db"][-1]  # one sample shows a fraction of each range
    assert found["findings"] == ["calibration has 20 samples; ranges want 100 or more"]
    assert "<svg" in (tmp_path / "calibration.html").read_text()
    assert main(command) == 0
    assert "samples" in capsys.readouterr().out
