"""The .zip of a run: what it holds, that it works where it is unpacked, and how its figures come back into the report."""

import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from edgecompress.benchmarking import Measurement
from edgecompress.bundle import run_bundle
from edgecompress.cli import main
from edgecompress.data.preprocess import preprocess_batch
from edgecompress.device.images import preprocess
from edgecompress.host_benchmark import measure_here
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Preprocess
from edgecompress.report import Report


def on_board(folder, *arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=folder, timeout=120)


def test_same_run_gives_the_same_bytes(run, tmp_path):
    for name in ("a.zip", "b.zip"):
        assert main(["bundle", str(run), "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_bundle_holds_what_a_board_needs_and_the_program_is_small(unpacked):
    assert {path.name for path in unpacked.iterdir()} == {
        "manifest.json", "model.tflite", "plain.tflite", "baseline.tflite", "golden.npz", "golden_plain.npz", "golden_baseline.npz",
        "benchmark_device.pyz", "predict.py", "CARD.md", "operators.zip",
    }  # fmt: skip
    assert (unpacked / "benchmark_device.pyz").stat().st_size < 100_000
    card = (unpacked / "CARD.md").read_text()
    assert "FULLY_CONNECTED" in card
    assert "Accuracy" in card
    assert "Meant for" not in card  # the recipe names no device


def test_figures_of_a_board_come_back_into_the_report(run, unpacked):
    finished = on_board(unpacked, "benchmark_device.pyz")
    assert finished.returncode == 0, finished.stderr
    assert main(["report", str(run), "--device", str(unpacked / "device.json")]) == 0
    machine = json.loads((unpacked / "device.json").read_text())["machine"]
    name, report = machine["name"], Report.load(run)
    assert {entry.machine_id for entry in report.benchmark if entry.host == name} == {machine["id"]}
    assert {(entry.model, entry.host) for entry in report.benchmark} == {
        (model, host) for model in ("final", "plain", "baseline") for host in ("local", name)
    }
    assert name in (run / "report.md").read_text()
    assert main(["report", str(run), "--device", str(unpacked / "device.json")]) == 0
    assert len(Report.load(run).benchmark) == 6  # a second time replaces


def test_operators_and_right_answers_come_back_too(run, tmp_path):
    assert main(["bundle", str(run), "--samples", "100", "-o", str(tmp_path / "bundle.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path / "board")
    finished = on_board(tmp_path / "board", "benchmark_device.pyz", "--operators", "--kernels", "xnnpack,builtin")
    assert finished.returncode == 0, finished.stderr
    assert "right of 100 test samples" in finished.stdout
    assert main(["report", str(run), "--device", str(tmp_path / "board/device.json")]) == 0
    report = Report.load(run)
    entries = [entry for entry in report.benchmark if entry.host != "local"]
    assert {entry.kernels for entry in entries} == {"xnnpack", "builtin"}
    assert [entry.model for entry in entries if entry.accuracy] == ["final", "plain", "baseline"]
    assert all(abs(entry.accuracy["accuracy"] - 0.9) < 0.1 for entry in entries if entry.accuracy)
    (profiled,) = (entry for entry in entries if entry.operators)
    assert [one["index"] for one in profiled.operators["timed"]] == [operator.index for operator in report.operators]
    text = (run / "report.md").read_text()
    assert "Keras layers: the operators that compute them, added up" in text
    assert "each timed alone as a one-operator model" in text
    layers = {operator.layer for operator in report.operators if operator.operator == "FULLY_CONNECTED"}
    assert layers == {layer.name for layer in report.layer_bytes if layer.final_bytes}


def test_right_answers_over_the_whole_test_split_are_those_of_the_report(run):
    report = Report.load(run)
    assert main(["benchmark", str(run), "--samples", "100000", "--operators", "--runs", "50"]) == 0
    again = Report.load(run)
    found = {entry.model: entry.accuracy for entry in again.benchmark}
    assert {one["samples"] for one in found.values()} == {report.data.num_test}
    for model in ("final", "plain", "baseline"):
        assert found[model]["accuracy"] == pytest.approx(report.metrics[model]["tflite"]["accuracy"])


def test_samples_of_other_data_than_the_runs_are_refused(run, capsys):
    content = json.loads((run / "report.json").read_text())
    content["recipe"]["data"]["test"] = 0.4
    (run / "report.json").write_text(json.dumps(content))
    assert main(["bundle", str(run), "--samples", "10"]) == 2
    assert "data must be that of the run. Received: another" in capsys.readouterr().err


def test_samples_of_a_task_without_right_answers_are_refused(run, capsys):
    content = json.loads((run / "report.json").read_text())
    content["recipe"]["task"] = {"loss": "mean_squared_error", "metrics": ["mean_squared_error"], "target": "input"}
    (run / "report.json").write_text(json.dumps(content))
    assert main(["bundle", str(run), "--samples", "10"]) == 2
    assert "need a task with right answers. Received: autoencoder" in capsys.readouterr().err


def test_samples_of_a_single_model_are_refused(run, capsys):
    assert main(["benchmark", str(run / "model.tflite"), "--samples", "10"]) == 2
    assert "must be a run folder for its test samples" in capsys.readouterr().err


def test_file_for_an_edge_tpu_is_not_measured_here(run, monkeypatch):
    manifest = json.loads((run / "manifest.json").read_text())
    shutil.copy(run / "model.tflite", run / "model_edgetpu.tflite")
    manifest["files"]["edgetpu"] = manifest["files"]["final"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    measured = []
    monkeypatch.setattr(
        "edgecompress.host_benchmark.measure_bundle", lambda bundle, **_: measured.extend(bundle.models) or {"benchmark": []}
    )
    files = run_bundle(run)
    assert "model_edgetpu.tflite" in files
    measure_here(files, Measurement(), Progress())
    assert measured == ["final", "plain", "baseline"]


def test_operators_of_a_single_model_are_timed(run, tmp_path):
    assert main(["benchmark", str(run / "model.tflite"), "--operators", "--runs", "50", "--json", str(tmp_path / "out.json")]) == 0
    (entry,) = json.loads((tmp_path / "out.json").read_text())["benchmark"]
    assert entry["host"] == "local"
    assert len(entry["operators"]["timed"]) > 1


def test_figures_of_another_model_are_refused(run, unpacked, tmp_path, capsys):
    content = {"models": {"final": "0" * 64}, "benchmark": []}
    (tmp_path / "device.json").write_text(json.dumps(content))
    assert main(["report", str(run), "--device", str(tmp_path / "device.json")]) == 2
    assert "Received: another file for final." in capsys.readouterr().err


def device_file(path, cpu, p50_ms=3.0, host="raspberrypi", **values):
    entry = {"model": "final", "host": host, "threads": 1, "p50_ms": p50_ms, "cpu": {"model": cpu}, **values}
    path.write_text(json.dumps({"models": {}, "benchmark": [entry]}))
    return str(path)


def test_two_boards_of_one_name_are_told_apart(run, tmp_path, capsys):
    first, second = device_file(tmp_path / "a.json", "Cortex-A72"), device_file(tmp_path / "b.json", "Cortex-A76", 2.0)
    assert main(["report", str(run), "--device", first]) == 0
    before = (run / "report.json").read_bytes()
    assert main(["report", str(run), "--device", second]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "raspberrypi is of Cortex-A72" in error
    assert "Received: one of Cortex-A76. --device NAME=" in error
    assert main(["report", str(run), "--device", first, "--device", first]) == 2  # two boards of one kind
    assert "raspberrypi is in another of these files" in " ".join(capsys.readouterr().err.split())
    assert (run / "report.json").read_bytes() == before
    assert main(["report", str(run), "--device", f"pi5={second}"]) == 0
    assert [(one.host, one.p50_ms) for one in Report.load(run).benchmark if one.host != "local"] == [("raspberrypi", 3.0), ("pi5", 2.0)]


@pytest.mark.parametrize(("name", "host"), [("local=", "raspberrypi"), ("", "local")])
def test_board_does_not_take_the_place_of_this_machine(run, tmp_path, capsys, name, host):
    before, path = (run / "report.json").read_bytes(), device_file(tmp_path / "a.json", "Cortex-A72", host=host)
    assert main(["report", str(run), "--device", f"{name}{path}"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"local is the machine that made {run}" in error
    assert "--device NAME=" in error
    assert (run / "report.json").read_bytes() == before


def test_name_that_a_board_of_another_kind_has_is_refused(run, tmp_path, capsys):
    first, second = device_file(tmp_path / "a.json", "Cortex-A72"), device_file(tmp_path / "b.json", "Cortex-A53", host="other")
    assert main(["report", str(run), "--device", first]) == 0
    assert main(["report", str(run), "--device", f"raspberrypi={second}"]) == 2
    assert "raspberrypi is of Cortex-A72" in " ".join(capsys.readouterr().err.split())
    assert main(["report", str(run), "--device", second]) == 0
    assert {one.host for one in Report.load(run).benchmark} == {"local", "raspberrypi", "other"}


def test_two_boards_of_one_kind_and_name_are_told_apart_by_their_ids(run, tmp_path, capsys):
    first = device_file(tmp_path / "a.json", "Cortex-A72", machine_id="a")
    second = device_file(tmp_path / "b.json", "Cortex-A72", 9.0, machine_id="b")
    assert main(["report", str(run), "--device", first]) == 0
    assert main(["report", str(run), "--device", second]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "raspberrypi is another board of this kind" in error
    assert "--device NAME=" in error
    assert main(["report", str(run), "--device", f"pi2={second}"]) == 0
    assert main(["report", str(run), "--device", first]) == 0  # its own figures replace
    assert main(["report", str(run), "--device", device_file(tmp_path / "c.json", "Cortex-A72", 4.0)]) == 0  # of an earlier program
    assert [(one.host, one.p50_ms) for one in Report.load(run).benchmark if one.host != "local"] == [("raspberrypi", 4.0), ("pi2", 9.0)]


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"models": {}, "benchmark": [{}]}'])
def test_what_is_no_device_file_is_refused(run, tmp_path, capsys, text):
    (tmp_path / "device.json").write_text(text)
    assert main(["report", str(run), "--device", str(tmp_path / "device.json")]) == 2
    assert "must be a device.json as benchmark_device.pyz writes it" in capsys.readouterr().err


def test_card_names_the_device_that_the_recipe_is_for(run):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["target"]["device"] = "pi4"
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert "\nMeant for pi4.\n" in run_bundle(run)["CARD.md"].decode()


def test_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main(["bundle", str(tmp_path)]) == 2
    assert "must be the folder of a finished run" in capsys.readouterr().err


def test_model_that_was_changed_is_not_packed(run, capsys):
    with open(run / "plain.tflite", "ab") as file:
        file.write(b"\0")
    assert main(["bundle", str(run)]) == 2
    assert "must be the file that manifest.json describes" in capsys.readouterr().err


@pytest.mark.parametrize("channels", ["keep", "rgb", "grayscale"])
@pytest.mark.parametrize("size", [None, [5, 9], [20, 3], [12, 16]])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_preprocessing_on_the_board_is_that_of_the_training(channels, size, num_channels):
    images = np.random.default_rng(0).integers(0, 256, (1, 12, 16, num_channels), dtype=np.uint8)
    settings = Preprocess(resize=size, scale=1 / 255, mean=[0.4], std=[0.3], channels=channels)
    expected = preprocess_batch(images, settings).numpy()[0]
    received = preprocess(images[0], settings.model_dump(mode="json"), expected.shape)
    assert np.abs(received - expected).max() < 1e-5  # TensorFlow resizes in another order of additions
