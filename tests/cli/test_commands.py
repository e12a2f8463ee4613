"""Each command by itself: what is parsed, what it calls, what it prints. The work behind it is replaced."""

import json
import os
import re
import types
from pathlib import Path

import pytest
import typer

from edgecompress.cli import main
from edgecompress.cli.app import app
from edgecompress.recipe import load_recipe
from edgecompress.recipe.stages import TECHNIQUES
from edgecompress.report.schema import BenchmarkEntry, GoalResult


def entry(error=None):
    return BenchmarkEntry(model="final", host="local", threads=1, error=error)


def converted(model, *, warnings=(), calibration=None, **options):
    """A stand-in for the conversion."""
    return {"path": str(model), "format": options["format"], "bytes": 12345, "warnings": list(warnings), "calibration": calibration}


def test_run_gives_the_recipe_and_its_options_to_the_pipeline_and_prints_the_table(recipe, finished, capsys):
    calls = finished()
    code = main(
        ["run", recipe, "--set", "stages.cut.sparsity=0.4", "--set", "data.limit=500", "--out", "o", "--fresh", "--allow-code", "--quiet"]
    )
    assert code == 0
    [(loaded, options)] = calls
    assert (loaded.stages[0].sparsity, loaded.data.limit) == (0.4, 500)
    assert (options["out"], options["fresh"], options["allow_code"]) == (Path("o"), True, True)
    assert capsys.readouterr().out == "the table\nReport: runs/small/report.html\n"


def test_run_prints_its_report_as_json_and_still_tells_of_a_missed_goal(recipe, finished, capsys):
    finished(goals=[GoalResult(name="size_kb", limit=1.0, value=2.0, met=False)], report={"name": "small"})
    assert main(["run", recipe, "--json"]) == 3
    output = capsys.readouterr()
    assert json.loads(output.out) == {"name": "small"}
    assert output.err == "A goal was missed: size_kb 2, limit 1.\n"


def test_run_has_safe_defaults(recipe, finished):
    calls = finished()
    assert main(["run", recipe]) == 0
    options = calls[0][1]
    assert (options["out"], options["fresh"], options["allow_code"]) == (None, False, False)


def test_warnings_come_before_the_run(recipe, finished, capsys):
    finished()
    assert main(["run", recipe, "--set", "model={source: builder, name: cnn}", "--set", "stages=[]"]) == 0
    assert "Warning: " in capsys.readouterr().err


def test_environment_variables_need_permission(recipe, finished, capsys, monkeypatch):
    calls = finished()
    monkeypatch.setenv("OTHER", "given")
    assert main(["run", recipe, "--set", "name=${env:OTHER}"]) == 2
    assert "--allow-env OTHER" in capsys.readouterr().err
    assert main(["run", recipe, "--set", "name=${env:OTHER}", "--allow-env", "OTHER"]) == 0
    assert calls[0][0].name == "given"


def test_check_lists_the_stages_with_their_keys(recipe, capsys):
    assert main(["check", recipe]) == 0
    output = capsys.readouterr().out
    assert f"{recipe}: fine. small: digits, 2 stages" in output
    assert re.search(r"00 baseline +model +source: builder, name: cnn, train: \{epochs: 1\}", output)
    assert re.search(r"01 prune_weights +stages\.cut +sparsity: 0\.6, train: \{epochs: 3\}", output)
    assert re.search(r"02 quantize_aware +stages\.1 +train: \{epochs: 2\}", output)
    assert re.search(r"export +export +format: int8, io: int8", output)


def test_check_tells_the_faults_of_every_recipe(recipe, tmp_path, capsys):
    bad, worse = tmp_path / "bad.yaml", tmp_path / "worse.yaml"
    bad.write_text(Path(recipe).read_text().replace("sparsity", "sparcity"))
    worse.write_text("name: x\nname: y\n")
    assert main(["check", str(bad), recipe, str(worse)]) == 2
    output = capsys.readouterr()
    assert "fine. small" in output.out
    assert re.search(r"bad\.yaml:5: stages\.0\.sparcity: key must be one of .* Did you mean 'sparsity'\?", output.err)
    assert "worse.yaml:2: keys must be unique. Received: 'name' in lines 1 and 2." in output.err


def test_check_as_json_holds_resolved_recipes_and_faults(recipe, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("name: x\nname: y\n")
    assert main(["check", recipe, str(tmp_path / "bad.yaml"), "--set", "data.batch_size=32", "--json"]) == 2
    output = capsys.readouterr()
    fine, bad = json.loads(output.out)["recipes"]
    assert (fine["path"], fine["recipe"]["data"]["batch_size"]) == (recipe, 32)
    assert "keys must be unique" in bad["error"]
    assert bad["error"] in output.err


def test_techniques_as_json_have_their_fields(capsys):
    assert main(["techniques", "prune_weights", "--json"]) == 0
    (technique,) = json.loads(capsys.readouterr().out)["techniques"]
    assert technique["name"] == "prune_weights"
    assert {"sparsity", "pattern", "train.epochs"} <= {field["name"] for field in technique["fields"]}
    assert main(["techniques", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["techniques"]) == len(TECHNIQUES)


def test_techniques_lists_all_or_shows_one(capsys):
    assert main(["techniques"]) == 0
    assert "cluster_weights" in capsys.readouterr().out
    assert main(["techniques", "prune_weights"]) == 0
    output = capsys.readouterr().out
    for words in ("Source: Zhu & Gupta", "a number at least 0 and less than 1", "required", "- prune_weights:\n    sparsity: 0.6"):
        assert words in output
    assert main(["techniques", "prune_weight"]) == 2
    assert "Did you mean 'prune_weights'?" in capsys.readouterr().err


def test_schema_is_one_json_object(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "edgecompress recipe"


def test_init_writes_a_recipe_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert main(["init", "m.h5"]) == 0
    assert capsys.readouterr().out == "recipe.yaml: written. Next: edgecompress check recipe.yaml\n"
    assert main(["check", "recipe.yaml"]) == 0
    assert main(["init", "m.h5"]) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert main(["init", "m.h5", "--force", "-o", "recipe.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": "recipe.yaml"}
    assert load_recipe("recipe.yaml").model.path == "m.h5"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.h5", "recipe.yaml"]


def test_json_prints_one_object_and_nothing_else(recipe, module, capsys):
    module("plan", plan=lambda recipe, allow_code: types.SimpleNamespace(to_dict=lambda: {"name": recipe.name}), plan_table=str)
    module("inspection", inspect=lambda path, allow_code: {"layers": float("nan")}, inspection_table=str)
    module(
        "one_model",
        convert=converted,
        evaluate=lambda model, recipe, **options: {"metrics": {"accuracy": 0.5}},
        evaluation_table=str,
    )
    module("benchmarking", benchmark_table=lambda entries: "table", Measurement=types.SimpleNamespace)
    module("host_benchmark", benchmark_places=lambda path, hosts, measurement, **options: [entry()])
    for arguments, found in [
        (["plan", recipe, "--json"], {"name": "small"}),
        (["inspect", "m.tflite", "--json"], {"layers": None}),
        (["convert", "m.h5", "--format", "dynamic", "--json"], converted("m.h5", format="dynamic")),
        (["evaluate", "m.tflite", recipe, "--json"], {"metrics": {"accuracy": 0.5}}),
        (["benchmark", "m.tflite", "--json", "-"], {"benchmark": [entry().model_dump(mode="json")]}),
    ]:
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out) == found


def test_without_json_a_table_is_printed(recipe, module, capsys):
    module("plan", plan=lambda recipe, allow_code: "planned", plan_table=lambda plan: f"table of {plan}")
    module("inspection", inspect=lambda path, allow_code: {}, inspection_table=lambda found: "layers")
    module("one_model", convert=converted)
    for arguments, words in [
        (["plan", recipe], "table of planned\n"),
        (["inspect", "m.tflite"], "layers\n"),
        (["convert", "m.h5"], "m.h5: int8, 12,345 bytes\n"),
    ]:
        assert main(arguments) == 0
        assert capsys.readouterr().out == words


def test_convert_says_what_it_assumed_and_what_it_could_not_do(module, capsys):
    warnings = ["operators that compute in float: 1"]
    calibration = "200 samples of photos, scaled by 1/255"
    module("one_model", convert=lambda model, **options: converted(model, warnings=warnings, calibration=calibration, **options))
    assert main(["convert", "m.h5", "--data", "photos"]) == 0
    output = capsys.readouterr()
    assert output.out == "m.h5: int8, 12,345 bytes, calibrated on 200 samples of photos, scaled by 1/255\n"
    assert output.err == "Warning: m.h5: operators that compute in float: 1\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {}),
        (["--scale", "1/255"], {"scale": "1/255"}),
        (["--scale", "2", "--mean", "0.5", "--std", "1/2"], {"scale": 2.0, "mean": [0.5], "std": ["1/2"]}),
        (["--mean", "-1, 0.4,1/3"], {"mean": [-1.0, 0.4, "1/3"]}),
        (["--scale", "much"], {"scale": "much"}),  # the conversion refuses it
    ],
)
def test_convert_takes_preprocessing_as_a_recipe_does(module, options, expected):
    calls = []
    module("one_model", convert=lambda model, **options: calls.append(options["preprocess"]) or converted(model, **options))
    assert main(["convert", "m.h5", *options]) == 0
    assert calls == [expected]


@pytest.mark.parametrize("place", ["nodir/file", "folder", "file/below"])
@pytest.mark.parametrize("command", [["convert", "m.h5", "-o"], ["benchmark", "m.tflite", "--json"], ["init", "m.h5", "-o"]])
def test_place_where_no_file_can_be_is_told_before_the_work(command, place, tmp_path, monkeypatch, capsys):
    words = {
        "nodir/file": "a folder of the path does not exist",
        "folder": "a folder is in the way",
        "file/below": "a part of the path is a file",
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()  # the models are not there, and would be told of later
    assert main([*command, place]) == 2
    assert capsys.readouterr().err == f"{place}: cannot be written: {words[place]}.\n"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_native_noise_of_tensorflow_is_not_shown(module, capfd):
    def inspect(path, allow_code):
        os.write(2, b"could not find cuda drivers")
        return {}

    module("inspection", inspect=inspect, inspection_table=lambda found: "layers")
    assert main(["inspect", "m.tflite"]) == 0
    assert capfd.readouterr() == ("layers\n", "")


def test_benchmark_parses_threads_writes_json_and_fails_with_the_device(module, tmp_path, capsys):
    calls = []

    def benchmark_places(path, hosts, measurement, **options):
        calls.append((path, hosts, measurement.threads, measurement.runs))
        return [entry("crashed")]

    module("benchmarking", benchmark_table=lambda entries: "table", Measurement=types.SimpleNamespace)
    module("host_benchmark", benchmark_places=benchmark_places)
    assert main(["benchmark", "m.tflite", "--threads", "1,2,4", "--runs", "500", "--json", str(tmp_path / "l.json")]) == 4
    assert calls == [(Path("m.tflite"), ["local"], [1, 2, 4], 500)]
    assert capsys.readouterr().out == "table\n"
    assert json.loads((tmp_path / "l.json").read_text())["benchmark"][0]["error"] == "crashed"


@pytest.mark.parametrize("threads", ["0", "1,x", "", "1,,2", "²", "5000"])
def test_bad_thread_counts_are_refused(threads, capsys):
    assert main(["benchmark", "m.tflite", "--threads", threads]) == 2
    assert "threads must be whole numbers" in capsys.readouterr().err


@pytest.mark.parametrize("kernels", ["", "gpu", "xnnpack,", "XNNPACK"])
def test_bad_kernel_families_are_refused(kernels, capsys):
    assert main(["benchmark", "m.tflite", "--kernels", kernels]) == 2
    assert "kernels must be xnnpack, builtin, or both" in capsys.readouterr().err


def test_compare_says_what_is_not_ranked(monkeypatch, capsys):
    reasons = []
    monkeypatch.setattr("edgecompress.report.Report.load", lambda folder: folder)
    monkeypatch.setattr("edgecompress.report.comparison_table", lambda reports, anyway: f"{len(reports)} runs" + ", ranked" * anyway)
    monkeypatch.setattr("edgecompress.report.comparison", lambda reports: {"runs": len(reports)})
    monkeypatch.setattr("edgecompress.report.not_ranked", lambda reports: reasons)
    assert main(["compare", "a", "b"]) == 0
    assert capsys.readouterr().out == "2 runs\n"
    reasons.append("Latencies are not ranked: another CPU.")
    for options, out in ([], "2 runs\n"), (["--json"], '{\n  "runs": 2\n}\n'):
        assert main(["compare", "a", "b", *options]) == 6
        assert capsys.readouterr() == (out, "Latencies are not ranked: another CPU.\n")
    assert main(["compare", "a", "b", "--anyway"]) == 0
    assert capsys.readouterr() == ("2 runs, ranked\n", "Latencies are not ranked: another CPU.\n")


def test_compare_needs_two_runs(capsys):
    assert main(["compare", "a"]) == 2
    assert "two runs or more" in capsys.readouterr().err


def test_report_writes_the_report_again(monkeypatch, capsys):
    report = types.SimpleNamespace(model_dump=lambda mode: {"name": "a"})
    monkeypatch.setattr("edgecompress.report.Report.load", lambda folder: report)
    monkeypatch.setattr("edgecompress.report.write_report", lambda report, folder: folder / "report.html")
    assert main(["report", "runs/a"]) == 0
    assert capsys.readouterr().out == "Report: runs/a/report.html\n"
    assert main(["report", "runs/a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "a"}


def test_every_command_that_prints_results_takes_json():
    commands = typer.main.get_command(app).commands
    without = {name for name, command in commands.items() if not any("--json" in option.opts for option in command.params)}
    assert without == {"schema"}  # which prints nothing else


def test_a_folder_without_a_report_is_bad_input(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "must hold a readable report" in capsys.readouterr().err
