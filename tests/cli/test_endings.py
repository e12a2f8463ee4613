"""The program itself: every ending has its words and its exit code; help, and what is not loaded."""

import errno
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

import edgecompress
from edgecompress import errors
from edgecompress.cli import main, searches, solving
from edgecompress.cli.app import COMMANDS
from edgecompress.report.schema import BenchmarkEntry, GoalResult
from edgecompress.solving.steps import Solution, Step

ROOT = Path(__file__).parents[2]


def missed(name="size_kb", value=70.0):
    return GoalResult(name=name, limit=60.0, value=value, met=False)


def entry(error=None):
    return BenchmarkEntry(model="final", host="local", threads=1, error=error)


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
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 1, "This is a fault of edgecompress, not of your input: "
         "FileNotFoundError: [Errno 2] No such file: 'x'. Run again with --debug and report what it shows."),
        (ZeroDivisionError("a\nb"), 1, "This is a fault of edgecompress, not of your input: ZeroDivisionError: a b. "
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


def test_debug_shows_the_traceback_of_a_recipe_that_is_checked(recipe, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("name: x\nname: y\n")
    assert main(["check", recipe, str(tmp_path / "bad.yaml"), "--debug"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert main(["check", recipe, str(tmp_path / "bad.yaml")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_failed_device_wins_over_limits_that_no_recipe_keeps():
    report = SimpleNamespace(benchmark=[entry("cannot be reached")], goals=[missed()])
    step = Step(0, "int8", "k", False, 1.0, bytes=70_000, metric=0.9, drop=0.0, misses={"size_kb": 0.17})
    solution = Solution("s", "accuracy", True, {"size_kb": 60.0}, 0.9, "nothing left", [step], 0, ["size_kb"], {}, {})
    trial = SimpleNamespace(number=0, is_feasible=False, misses={"size_kb": 0.17}, drop=0.0)
    found = SimpleNamespace(choice=trial, limits={"size_kb": 60.0})
    for run, expected in ((SimpleNamespace(report=report), errors.DeviceError), (None, errors.GoalMissed)):
        with pytest.raises(expected):
            solving._raise_for(SimpleNamespace(solution=solution, run=run))
        with pytest.raises(expected):
            searches._raise_for(SimpleNamespace(findings=found, run=run))


def test_misspelt_commands_and_missing_arguments_are_bad_input(capsys):
    assert main(["chek"]) == 2
    assert "Did you mean 'check'" in capsys.readouterr().err
    assert main(["run"]) == 2
    assert main(["run", "--no-such-option", "x"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "RUN", "--host", "pi4"], "--host and --meter-offset speak of --meter"),
        (["report", "RUN", "--meter-offset", "nan"], "--host and --meter-offset speak of --meter"),
        (["report", "RUN", "--meter", "m.csv", "--meter-offset", "nan"], "must be a finite number of seconds"),
        (["benchmark", "m.tflite", "--host", "local", "--host", "a b"], "a host must be local, or a destination of ssh"),
        (["benchmark", "m.tflite", "--host", "-oProxyCommand=x"], "a host must be local, or a destination of ssh"),
        (["doctor", "--host", ""], "a host must be local, or a destination of ssh"),
    ],
)
def test_options_that_say_nothing_or_name_nothing_are_bad_input(arguments, words, capsys):
    assert main(arguments) == 2
    assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize("arguments", [["--version"], ["check", "--debug", "--help"], ["-h"]])
def test_asking_is_not_an_error(arguments, capsys):
    assert main(arguments) == 0
    assert capsys.readouterr().err == ""


def test_version_is_the_package_s(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"edgecompress {edgecompress.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main([name, "--help"]) == 0
    output = capsys.readouterr().out
    assert f"Usage: edgecompress {name}" in output
    assert f"Example: {COMMANDS[name][1]}" in output


@pytest.mark.parametrize("example", [example for _, example in COMMANDS.values() if "--set" in example])
def test_examples_set_what_their_recipes_have(example):
    words = example.split()
    recipe = next(word for word in words if word.endswith(".yaml"))
    settings = [word for before, word in pairwise(words) for word in ("--set", word) if before == "--set"]
    assert main(["check", str(ROOT / recipe), *settings]) == 0


def python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["check", "RECIPE"], ["techniques"], ["schema"], ["init", "MODEL", "-o", "OUT"], ["run", "nope.yaml"]]
)
def test_quick_commands_do_not_load_tensorflow(arguments, recipe, tmp_path):
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    places = {"RECIPE": recipe, "MODEL": str(tmp_path / "m.h5"), "OUT": str(tmp_path / "out.yaml")}
    arguments = [places.get(argument, argument) for argument in arguments]
    ended = python(f"import sys; from edgecompress.cli import main; main({arguments!r}); sys.stderr.write(' '.join(sys.modules))")
    loaded = set(ended.stderr.split())
    assert "edgecompress.cli.app" in loaded
    assert not loaded & {"tensorflow", "tf_keras", "keras", "numpy", "tensorflow_model_optimization", "ai_edge_litert", "matplotlib"}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["search", "--help"], ["--version"]])
def test_help_loads_nothing_that_a_recipe_needs(arguments):
    """Keeps help quick on any machine; its seconds are measured by scripts/benchmarks/start_up.py."""
    ended = python(f"import sys; from edgecompress.cli import main; main({arguments!r}); sys.stderr.write(' '.join(sys.modules))")
    loaded = set(ended.stderr.split())
    assert "edgecompress.cli.app" in loaded
    assert not loaded & {"yaml", "jinja2", "optuna", "edgecompress.recipe", "edgecompress.runs"}


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close quietly on Unix only")
def test_a_reader_that_leaves_is_no_error():
    code = "import sys; from edgecompress.cli import main; sys.exit(main(['schema']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix closes the output")
def test_an_output_that_is_closed_is_no_error():
    command = f"exec '{sys.executable}' -m edgecompress schema >&-"
    ended = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
