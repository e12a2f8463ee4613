"""The command line by itself: what is parsed, what is printed where, and every exit code. The work behind it is replaced."""

import errno
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import edgecompress
from edgecompress import errors
from edgecompress.cli import main
from edgecompress.cli.app import COMMANDS
from edgecompress.recipe import load_recipe
from edgecompress.report.schema import BenchmarkEntry, GoalResult

RECIPE = """\
name: small
data: {source: digits}
model: {source: builder, name: cnn, train: {epochs: 1}}
stages:
  - prune_weights: {id: cut, sparsity: 0.6, train: {epochs: 3}}
  - quantize_aware: {train: {epochs: 2}}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return str(path)


@pytest.fixture
def finished(monkeypatch):
    """Replaces the run: `finished(goals=..., benchmark=..., error=...)`, then what `run` was called with."""
    calls = []

    def replace(goals=(), benchmark=(), error=None):
        def run_recipe(recipe, **options):
            calls.append((recipe, options))
            if error is not None:
                raise error
            return types.SimpleNamespace(folder=Path("runs/small"), report=types.SimpleNamespace(goals=goals, benchmark=benchmark))

        monkeypatch.setattr("edgecompress.runs.run_recipe", run_recipe)
        monkeypatch.setattr("edgecompress.report.summary_table", lambda report: "the table")
        return calls

    return replace


@pytest.fixture
def module(monkeypatch):
    """Replaces a module of the package by functions: `module("plan", plan=..., plan_table=...)`."""

    def replace(name, **functions):
        stand_in = types.ModuleType(f"edgecompress.{name}")
        vars(stand_in).update(functions)
        monkeypatch.setitem(sys.modules, f"edgecompress.{name}", stand_in)

    return replace


def missed(name="size_kb", value=70.0):
    return GoalResult(name=name, limit=60.0, value=value, met=False)


def entry(error=None):
    return BenchmarkEntry(model="final", host="local", threads=1, error=error)


# run


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


def test_run_has_safe_defaults(recipe, finished):
    calls = finished()
    assert main(["run", recipe]) == 0
    options = calls[0][1]
    assert (options["out"], options["fresh"], options["allow_code"]) == (None, False, False)


@pytest.mark.parametrize(
    ("goals", "benchmark", "code", "words"),
    [
        ([missed()], [], 3, "A goal was missed: size_kb 70, limit 60."),
        ([missed(value=None)], [], 3, "A goal was missed: size_kb not measured, limit 60."),
        ([], [entry("crashed with SIGSEGV")], 4, "A device failed: final on local: crashed with SIGSEGV."),
        ([missed()], [entry("timed out"), entry("timed out")], 4, "A device failed: final on local: timed out."),
        ([GoalResult(name="size_kb", limit=60.0, value=50.0, met=True)], [entry()], 0, ""),
    ],
)
def test_outcomes_have_exit_codes_after_the_table_is_printed(recipe, finished, capsys, goals, benchmark, code, words):
    finished(goals=goals, benchmark=benchmark)
    assert main(["run", recipe]) == code
    output = capsys.readouterr()
    assert "the table" in output.out
    assert output.err.strip() == words


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.RecipeError("a"), 2, "a"),
        (errors.DataError("b [red]c[/red] :smile:"), 2, "b [red]c[/red] :smile:"),
        (errors.TrainingError("c"), 2, "c"),
        (errors.ConversionError("d"), 2, "d"),
        (errors.DeviceError("e"), 4, "e"),
        (errors.RunLocked("f"), 5, "f"),
        (KeyboardInterrupt(), 130, "Interrupted. What is done is kept; the same command continues from there."),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 2, "runs/x: the disk is full."),
        (OSError(errno.EROFS, "Read-only file system"), 2, "the file system is read-only."),
        (ZeroDivisionError("division\nby zero"), 1, "This is a fault of edgecompress, not of your input: ZeroDivisionError: division by zero. "
         "Run again with --debug and report what it shows."),
    ],
)  # fmt: skip
def test_every_failure_is_one_line_and_a_code(recipe, finished, capsys, error, code, words):
    finished(error=error)
    assert main(["run", recipe]) == code
    output = capsys.readouterr()
    assert output.err == words + "\n"
    assert output.out == ""


def test_long_messages_are_not_wrapped(recipe, finished, capsys):
    finished(error=errors.DataError("word " * 100))
    main(["run", recipe])
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("position", [0, 1, 2])
def test_debug_shows_the_traceback_wherever_it_stands(recipe, finished, capsys, position):
    finished(error=errors.DataError("words"))
    arguments = ["run", recipe]
    arguments.insert(position, "--debug")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "Traceback (most recent call last)" in error
    assert error.endswith("words\n")


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


# check, techniques, schema, init


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
    bad.write_text(RECIPE.replace("sparsity", "sparcity"))
    worse.write_text("name: x\nname: y\n")
    assert main(["check", str(bad), recipe, str(worse)]) == 2
    output = capsys.readouterr()
    assert "fine. small" in output.out
    assert re.search(r"bad\.yaml:5: stages\.0\.sparcity: key must be one of .* Did you mean 'sparsity'\?", output.err)
    assert "worse.yaml:2: keys must be unique. Received: 'name' in lines 1 and 2." in output.err


def test_techniques_lists_all_or_shows_one(capsys):
    assert main(["techniques"]) == 0
    assert "cluster_weights" in capsys.readouterr().out
    assert main(["techniques", "prune_weights"]) == 0
    output = capsys.readouterr().out
    for words in ("Source: Zhu & Gupta", "a number at least 0 and less than 1", "required", "- prune_weights:\n    sparsity: 0.6"):
        assert words in output
    assert main(["techniques", "prune"]) == 2
    assert "Did you mean 'prune_weights'?" in capsys.readouterr().err


def test_schema_is_one_json_object(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "edgecompress recipe"


def test_init_writes_a_recipe_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("m.h5").touch()
    assert main(["init", "m.h5"]) == 0
    assert capsys.readouterr().out == "recipe.yaml: written. Next: edgecompress check recipe.yaml\n"
    assert main(["check", "recipe.yaml"]) == 0
    assert main(["init", "m.h5"]) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert main(["init", "m.h5", "--force", "-o", "recipe.yaml"]) == 0
    assert load_recipe("recipe.yaml").model.path == "m.h5"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.h5", "recipe.yaml"]


# plan, inspect, convert, evaluate, benchmark


def test_json_prints_one_object_and_nothing_else(recipe, module, capsys):
    module("plan", plan=lambda recipe, allow_code: types.SimpleNamespace(to_dict=lambda: {"name": recipe.name}), plan_table=str)
    module("inspection", inspect=lambda path, allow_code: {"layers": float("nan")}, inspection_table=str)
    module(
        "one_model",
        convert=lambda model, **options: {"path": str(model), "format": options["format"], "bytes": 5},
        evaluate=lambda model, recipe, **options: {"metrics": {"accuracy": 0.5}},
        evaluation_table=str,
    )
    module("benchmarking", benchmark_path=lambda path, **options: [entry()], benchmark_table=lambda entries: "table")
    for arguments, found in [
        (["plan", recipe, "--json"], {"name": "small"}),
        (["inspect", "m.tflite", "--json"], {"layers": None}),
        (["convert", "m.h5", "--format", "dynamic", "--json"], {"path": "m.h5", "format": "dynamic", "bytes": 5}),
        (["evaluate", "m.tflite", recipe, "--json"], {"metrics": {"accuracy": 0.5}}),
        (["benchmark", "m.tflite", "--json", "-"], {"benchmark": [entry().model_dump(mode="json")]}),
    ]:
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out) == found


def test_without_json_a_table_is_printed(recipe, module, capsys):
    module("plan", plan=lambda recipe, allow_code: "planned", plan_table=lambda plan: f"table of {plan}")
    module("inspection", inspect=lambda path, allow_code: {}, inspection_table=lambda found: "layers")
    module("one_model", convert=lambda model, **options: {"path": "m.tflite", "format": "int8", "bytes": 12345})
    for arguments, words in [
        (["plan", recipe], "table of planned\n"),
        (["inspect", "m.tflite"], "layers\n"),
        (["convert", "m.h5"], "m.tflite: int8, 12,345 bytes\n"),
    ]:
        assert main(arguments) == 0
        assert capsys.readouterr().out == words


def test_benchmark_parses_threads_writes_json_and_fails_with_the_device(module, tmp_path, capsys):
    calls = []

    def benchmark_path(path, **options):
        calls.append((path, options["threads"], options["runs"]))
        return [entry("crashed")]

    module("benchmarking", benchmark_path=benchmark_path, benchmark_table=lambda entries: "table")
    assert main(["benchmark", "m.tflite", "--threads", "1,2,4", "--runs", "500", "--json", str(tmp_path / "l.json")]) == 4
    assert calls == [(Path("m.tflite"), [1, 2, 4], 500)]
    assert capsys.readouterr().out == "table\n"
    assert json.loads((tmp_path / "l.json").read_text())["benchmark"][0]["error"] == "crashed"


@pytest.mark.parametrize("threads", ["0", "1,x", "", "1,,2", "²", "5000"])
def test_bad_thread_counts_are_refused(threads, capsys):
    assert main(["benchmark", "m.tflite", "--threads", threads]) == 2
    assert "threads must be whole numbers" in capsys.readouterr().err


# compare, report


def test_compare_says_what_is_not_ranked(monkeypatch, capsys):
    monkeypatch.setattr("edgecompress.report.Report.load", lambda folder: folder)
    monkeypatch.setattr("edgecompress.report.comparison_table", lambda reports: (f"{len(reports)} runs", []))
    assert main(["compare", "a", "b"]) == 0
    assert capsys.readouterr().out == "2 runs\n"
    monkeypatch.setattr("edgecompress.report.comparison_table", lambda reports: ("runs", ["Latencies are not ranked: another CPU."]))
    assert main(["compare", "a", "b"]) == 6
    output = capsys.readouterr()
    assert (output.out, output.err) == ("runs\n", "Latencies are not ranked: another CPU.\n")


def test_compare_needs_two_runs(capsys):
    assert main(["compare", "a"]) == 2
    assert "two runs or more" in capsys.readouterr().err


def test_report_writes_the_report_again(monkeypatch, capsys):
    monkeypatch.setattr("edgecompress.report.Report.load", lambda folder: f"report of {folder}")
    monkeypatch.setattr("edgecompress.report.write_report", lambda report, folder: folder / "report.html")
    assert main(["report", "runs/a"]) == 0
    assert capsys.readouterr().out == "Report: runs/a/report.html\n"


def test_a_folder_without_a_report_is_bad_input(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "must hold a readable report" in capsys.readouterr().err


# the program itself


def test_misspelt_commands_and_missing_arguments_are_bad_input(capsys):
    assert main(["chek"]) == 2
    assert "Did you mean 'check'" in capsys.readouterr().err
    assert main(["run"]) == 2
    assert main(["run", "--no-such-option", "x"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--version"], ["check", "--debug", "--help"], ["-h"]])
def test_asking_is_not_an_error(arguments, capsys):
    assert main(arguments) == 0
    assert capsys.readouterr().err == ""


def test_version_is_the_package_s(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"edgecompress {edgecompress.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example_that_parses(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main([name, "--help"]) == 0
    output = capsys.readouterr().out
    assert f"Usage: edgecompress {name}" in output
    assert f"Example: {COMMANDS[name][1]}" in output


def python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["check", "RECIPE"], ["techniques"], ["schema"], ["init", "MODEL", "-o", "OUT"], ["run", "nope.yaml"]]
)
def test_quick_commands_do_not_load_tensorflow(arguments, recipe, tmp_path):
    (tmp_path / "m.h5").touch()
    places = {"RECIPE": recipe, "MODEL": str(tmp_path / "m.h5"), "OUT": str(tmp_path / "out.yaml")}
    arguments = [places.get(argument, argument) for argument in arguments]
    ended = python(f"import sys; from edgecompress.cli import main; main({arguments!r}); sys.stderr.write(' '.join(sys.modules))")
    loaded = set(ended.stderr.split())
    assert "edgecompress.cli.app" in loaded
    assert not loaded & {"tensorflow", "tf_keras", "keras", "numpy", "tensorflow_model_optimization", "ai_edge_litert", "matplotlib"}


@pytest.mark.parametrize(("arguments", "limit_s"), [(["--help"], 0.5), (["check", "RECIPE"], 1.0)])
def test_quick_commands_are_quick(arguments, limit_s, recipe):
    arguments = [recipe if argument == "RECIPE" else argument for argument in arguments]
    code = f"import sys; from edgecompress.cli import main; main({arguments!r}); import time; sys.stderr.write(str(time.process_time()))"
    # Time on the processor, interpreter included: waiting for other processes of a busy machine does not count.
    assert min(float(python(code).stderr) for _ in range(3)) < limit_s


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close quietly on Unix only")
def test_a_reader_that_leaves_is_no_error():
    code = "import sys; from edgecompress.cli import main; sys.exit(main(['schema']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
