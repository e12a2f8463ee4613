"""Every model file of the real data, told by its content, goes through `inspect` and `benchmark`: a result, or why not in one line."""

import csv
import json
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecompress.benchmarking import Measurement, benchmark_path
from edgecompress.cli import main
from edgecompress.errors import ModelError
from edgecompress.inspection import has_tflite_content, inspect, inspection_table
from edgecompress.progress import Progress

# What the table of known behaviour, made with all-zero inputs, does not say of the inputs that a benchmark makes up.
ZEROS_FAIL = "tflite_odd/dynamic_shapes.bin"
SPOILS_MEMORY = "tflite_tflm/keyword_scrambled_8bit.tflite"  # it crashes the runtime, sooner or later
SECONDS_LONG = ("tflite_odd/conv_huge_im2col.bin", "tflite_coral/deeplabv3_mnv2_dm05_pascal_quant.tflite")
KERAS_FILES = (".h5", ".hdf5", ".keras")


@pytest.fixture(scope="module")
def files(data_folder):
    """Path below the data folder to path, of every file."""
    return {path.relative_to(data_folder).as_posix(): path for path in sorted(data_folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def tflite_files(files):
    return {name: path for name, path in files.items() if has_tflite_content(path)}


@pytest.fixture(scope="module")
def runs_with_zeros(data_folder):
    """Path below the data folder to whether the runtime is known to load, run and let go of the file."""
    with open(data_folder / "TFLITE_BEHAVIOUR.tsv", newline="") as table:
        rows = list(csv.reader(table, delimiter="\t"))
    return {name: result.startswith('{"load": 1, "alloc": 1, "invoke_ms"') for name, *_, result in rows[1:] if result}


def outcome(path):
    """The median time of one invoke, or the reason why there is none."""
    try:
        (entry,) = benchmark_path(path, Measurement(threads=[1], runs=50, timeout_s=300), Progress())
    except ModelError as error:
        return str(error)
    return entry.p50_ms if entry.error is None else entry.error


def description(path):
    """What `inspect` says, or its reason."""
    try:
        return inspect(path, allow_code=True)
    except ModelError as error:
        return str(error)


def check_outcomes(files, runs_with_zeros):
    found = {name: outcome(path) for name, path in files.items()}
    reasons = {name: value for name, value in found.items() if isinstance(value, str)}
    failing = {name for name in files if not runs_with_zeros[name]} - {ZEROS_FAIL}
    assert set(reasons) - {SPOILS_MEMORY} == failing - {SPOILS_MEMORY}
    assert {name: words for name, words in reasons.items() if "\n" in words or len(words) > 400 or "Error:" in words} == {}
    return reasons


def test_every_tflite_file_is_timed_or_refused_in_one_line(tflite_files, runs_with_zeros):
    found = check_outcomes({name: path for name, path in tflite_files.items() if name not in SECONDS_LONG}, runs_with_zeros)
    assert "unresolved custom op: Sinh" in found["tflite_odd/custom_sinh.bin"]
    assert "must have at least one subgraph" in found["tflite_odd/0_subgraphs.bin"]
    assert "the runtime crashed with SIG" in found.get(SPOILS_MEMORY, "the runtime crashed with SIG")


@pytest.mark.full
def test_tflite_files_of_long_invokes_are_timed_too(tflite_files, runs_with_zeros):
    check_outcomes({name: tflite_files[name] for name in SECONDS_LONG}, runs_with_zeros)


def test_every_tflite_file_is_described_or_refused_in_one_line(tflite_files):
    found = {name: description(path) for name, path in tflite_files.items()}
    assert "must have at least one subgraph" in found.pop("tflite_odd/0_subgraphs.bin")
    for name, facts in found.items():
        assert sum(facts["bytes_by_type"].values()) == facts["bytes"] == tflite_files[name].stat().st_size, name
        assert inspection_table(facts), name


def test_every_keras_file_and_saved_model_is_described_or_refused_in_one_line(files, data_folder):
    saved_models = {path.parent for path in data_folder.rglob("saved_model.pb")}
    found = [path for name, path in files.items() if path.suffix in KERAS_FILES]
    assert len(found) >= 6
    assert saved_models
    for path in (*found, *saved_models):
        facts = description(path)
        words = facts if isinstance(facts, str) else f"{path}: {facts['parameters']:,} parameters"
        assert words.startswith(f"{path}: "), path
        assert "\n" not in words, path


def test_files_of_other_kinds_are_refused_in_one_line(files, tflite_files, tmp_path):
    onnx, graph = tmp_path / "net.onnx", tmp_path / "frozen.pb"
    onnx.write_bytes(b"\x08\x07\x12\x07pytorch")
    graph.write_bytes(b"\x0a\x05graph")
    others = [path for name, path in files.items() if name not in tflite_files and path.suffix not in (*KERAS_FILES, ".npz", ".zip")]
    assert len(others) > 50
    for path in (onnx, graph, *others):
        with pytest.raises(ModelError, match=r"^[^\n]*: must be a model: [^\n]* Received: [^\n]*\.$"):
            inspect(path)
        with pytest.raises(ModelError, match=r"^[^\n]*: must be a \.tflite file\. Received: a file of another format, or a damaged one\.$"):
            benchmark_path(path, Measurement(threads=[1], runs=50), Progress())
    with pytest.raises(ModelError, match=r"net\.onnx: must be a model: .* Received: an ONNX model\.$"):
        inspect(onnx)


def test_archives_that_are_no_models_are_refused_in_one_line(files):
    archives = [path for path in files.values() if path.suffix in (".npz", ".zip")]
    for path in archives:
        with pytest.raises(ModelError, match=r"^[^\n]*: must be a Keras archive with [^\n]*$"):
            inspect(path)


def test_truncated_tflite_files_are_bad_input_not_a_failed_device(tflite_files, tmp_path, capsys):
    content = tflite_files["mlperf_tiny/kws/kws_ref_model.tflite"].read_bytes()
    for num_bytes in (9, 100, len(content) // 2, len(content) - 1000):
        (tmp_path / "cut.tflite").write_bytes(content[:num_bytes])
        for command in ("inspect", "benchmark"):
            assert main([command, str(tmp_path / "cut.tflite")]) == 2
            words = capsys.readouterr().err
            assert words.startswith(f"{tmp_path}/cut.tflite: ")
            assert words.count("\n") == 1


def endless_file() -> bytes:
    """while x == x: x = x + x, of one int32."""

    def tensor(name, kind):
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, [1], kind, 0
        return made

    def graph(outputs_kind, code, inputs, options=None, options_type=0):
        made, operator = schema.SubGraphT(), schema.OperatorT()
        made.tensors = [tensor("x", schema.TensorType.INT32), tensor("y", outputs_kind)]
        operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, [1]
        operator.builtinOptions, operator.builtinOptionsType = options, options_type
        made.inputs, made.outputs, made.operators = [0], [1], [operator]
        return made

    loop = schema.WhileOptionsT()
    loop.condSubgraphIndex, loop.bodySubgraphIndex = 1, 2
    model = schema.ModelT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    for name in ("WHILE", "EQUAL", "MAXIMUM"):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 1
        model.operatorCodes.append(code)
    model.subgraphs = [
        graph(schema.TensorType.INT32, 0, [0], loop, schema.BuiltinOptions.WhileOptions),
        graph(schema.TensorType.BOOL, 1, [0, 0]),
        graph(schema.TensorType.INT32, 2, [0, 0]),
    ]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_file_that_loops_for_ever_is_described_and_stopped_in_time(tmp_path: Path, capsys):
    path = tmp_path / "endless.tflite"
    path.write_bytes(endless_file())
    assert [item["name"] for item in inspect(path)["operators"]] == ["WHILE", "EQUAL", "MAXIMUM"]
    assert main(["benchmark", str(path), "--timeout", "1.5", "--json", "-"]) == 4
    output = capsys.readouterr()
    assert "did not finish within 1.5 s (while running the model)" in output.err
    (entry,) = json.loads(output.out)["benchmark"]
    assert (entry["p50_ms"], entry["trusted"]) == (None, False)
    assert "did not finish" in entry["error"]


def test_evaluation_stops_a_file_that_loops_for_ever(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("edgecompress.one_model.PROBE_TIMEOUT_S", 1.5)
    (tmp_path / "endless.tflite").write_bytes(endless_file())
    (tmp_path / "r.yaml").write_text("name: r\ndata: {source: digits}\nmodel: {source: builder, name: mlp, train: {epochs: 1}}\n")
    assert main(["evaluate", str(tmp_path / "endless.tflite"), str(tmp_path / "r.yaml")]) == 2
    assert "endless.tflite: cannot be run: the model did not finish within 1.5 s" in capsys.readouterr().err
