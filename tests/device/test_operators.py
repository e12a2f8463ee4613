"""Operators that were cut out are timed alone, and one that fails costs only itself."""

import zipfile

import numpy as np
import pytest

from edgecompress.device import DeviceFault
from edgecompress.device.accuracy import measure_accuracy, right_answers
from edgecompress.device.golden import write_arrays
from edgecompress.device.operators import describe_operators, measure_archive, measure_operators


def test_whole_and_every_operator_are_timed(tiny_file):
    pieces = {7: tiny_file("double"), 2: tiny_file("double", shape=(1, 100_000))}
    steps = []
    found = measure_operators(tiny_file("double"), pieces, threads=1, timeout_s=60, on_progress=lambda *step: steps.append(step))
    assert [one["index"] for one in found["timed"]] == [2, 7]
    assert all(one["error"] is None and one["p50_ms"] > 0 for one in found["timed"])
    assert found["timed"][0]["p50_ms"] > found["timed"][1]["p50_ms"]
    assert found["sum_ms"] == pytest.approx(sum(one["p50_ms"] for one in found["timed"]))
    assert found["whole_ms"] > 0
    assert [step[:2] for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert describe_operators(found).startswith("2 operators, each timed alone as a one-operator model, take ")


def test_operator_that_is_refused_or_hangs_costs_only_itself(tiny_file, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    pieces = {0: str(broken), 1: tiny_file("endless"), 2: tiny_file("double")}
    found = measure_operators(tiny_file("double"), pieces, threads=1, timeout_s=4)
    assert "refused the model" in found["timed"][0]["error"]
    assert "did not finish within 4 s (while running an operator)" in found["timed"][1]["error"]
    assert found["timed"][2]["p50_ms"] == found["sum_ms"] > 0
    assert describe_operators(found).endswith("; 2 could not be timed")


def test_operator_that_aborts_costs_only_itself(fake_runtime):
    model = fake_runtime(invoke="os.abort()")
    found = measure_operators(model, {0: model, 1: model}, threads=1, timeout_s=60)
    assert found["whole_ms"] is None
    assert ["SIGABRT" in one["error"] for one in found["timed"]] == [True, True]


def test_archive_is_unpacked_where_it_goes_away_again(tiny, tiny_file, tmp_path):
    path = tmp_path / "operators.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("3.tflite", tiny("double"))
        archive.writestr("../../4.tflite", tiny("double"))  # no number: not taken
        archive.writestr("card.md", "text")
    found = measure_archive(tiny_file("double"), str(path), threads=1, timeout_s=60)
    assert [one["index"] for one in found["timed"]] == [3]
    path.write_bytes(b"no zip")
    with pytest.raises(DeviceFault, match="the operators cannot be unpacked"):
        measure_archive(tiny_file("double"), str(path), threads=1, timeout_s=60)


def test_right_answers_by_hand():
    outputs = np.float32([[1, 2], [4, 3], [5, 5]])
    assert right_answers(outputs, np.array([1, 1, 0]), np.array([])).tolist() == [1, 0, 1]  # the first of two equal ones
    labels = np.float32([[0, 1], [1, 1], [1, 0]])
    assert right_answers(outputs, labels, np.array([3.5])).tolist() == [0.5, 0.5, 0.5]
    assert right_answers(np.float32([[0.2], [-0.1]]), np.array([1, 0]), np.array([0.0])).tolist() == [1, 1]


def test_right_answers_are_counted_on_real_values(tiny_file, tmp_path):
    samples = tmp_path / "samples.npz"
    inputs = np.float32([[1, 2, 3, 4], [9, 0, 0, 0], [0, 5, 0, 1]])
    np.savez(samples, input_0=inputs, labels=np.array([3, 1, 1]), threshold=np.array([]))
    for model in (tiny_file("double", (1, 4)), tiny_file("double", (1, 4), "int8", 0.5)):
        found = measure_accuracy(model, str(samples), threads=1, timeout_s=60)
        assert (found["samples"], found["right"], found["accuracy"]) == (3, 2.0, pytest.approx(2 / 3))


def test_samples_that_do_not_fit_are_said_in_words(tiny_file, tmp_path):
    np.savez(tmp_path / "samples.npz", input_0=np.zeros((2, 5), np.float32), labels=np.zeros(2, np.int64), threshold=np.array([]))
    found = measure_accuracy(tiny_file("double", (1, 4)), str(tmp_path / "samples.npz"), threads=1, timeout_s=60)
    assert "must be samples of shape (1, 4)" in found["error"]


def test_counting_over_many_samples_is_no_hang(fake_runtime, tmp_path):
    write_arrays(
        str(tmp_path / "samples.npz"),
        {"input_0": np.zeros((200, 1), np.float32), "labels": np.zeros(200, np.int64), "threshold": np.zeros(0)},
    )
    found = measure_accuracy(fake_runtime("time.sleep(0.02)"), str(tmp_path / "samples.npz"), threads=1, timeout_s=3)
    assert found["samples"] == 200


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_right_answers_and_operators_run_on_the_kernels_that_were_asked_for(data_folder, tmp_path, kernels):
    model = str(data_folder / "mlperf_tiny/ad/ad01_fp32.tflite")  # both runtimes hand floats to XNNPACK
    np.savez(tmp_path / "s.npz", input_0=np.ones((2, 640), np.float32), labels=np.zeros(2, np.int64), threshold=np.array([]))
    assert measure_accuracy(model, str(tmp_path / "s.npz"), threads=1, kernels=kernels, timeout_s=60)["kernels"] == kernels
    found = measure_operators(model, {0: model}, threads=1, kernels=kernels, timeout_s=60)
    assert [one["kernels"] for one in found["timed"]] == [kernels]


def test_no_room_for_the_operators_is_said_in_words(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(DeviceFault, match="no temporary folder can be made for the operators"):
        measure_archive(tiny_file("double"), str(tmp_path / "operators.zip"), threads=1, timeout_s=60)
