"""`shrink` from file to file: its targets on published models, its proof, and what it says of bad input."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from edgecompress import shrinking
from edgecompress.cli import main
from edgecompress.errors import DataError, ModelError
from edgecompress.proof import Proof, Trials
from edgecompress.shrinking import shrink, shrink_export, shrink_file
from edgecompress.tflite import list_operators, parse
from edgecompress.tflite.shrink import Settings, passes


def macs(content):
    return sum(operator.macs for operator in list_operators(parse(content)))


@pytest.mark.parametrize(("name", "most_bytes", "most_macs"), [
    ("vww/vww_96_int8.tflite", 60_000, 3_740_000), ("kws/kws_ref_model.tflite", 35_500, 2_700_000),
])  # fmt: skip
def test_published_models_reach_their_targets_bit_for_bit(data_folder, name, most_bytes, most_macs):
    content = (data_folder / "mlperf_tiny" / name).read_bytes()
    shrunk = shrink(content)
    assert len(shrunk.content) <= most_bytes
    assert macs(shrunk.content) <= most_macs
    assert (shrunk.left_out, shrunk.proof.largest_difference, set(shrunk.proof.runs)) == ({}, 0.0, {"xnnpack", "builtin"})
    assert all(after <= before for before, after in shrunk.proof.operators_left.values())


def test_a_file_with_operators_that_are_not_here_gets_the_diet_and_says_so(data_folder, tmp_path, capsys):
    source = data_folder / "tflite_odd" / "custom_sinh.bin"
    assert main(["shrink", str(source), "-o", str(tmp_path / "small.tflite")]) == 0
    assert "Not run here, only the graphs were compared" in capsys.readouterr().out
    assert (tmp_path / "small.tflite").stat().st_size < source.stat().st_size


def test_a_file_that_the_runtime_refuses_is_refused(data_folder, tmp_path):
    with pytest.raises(ModelError, match=r"test_model\.bin: the model must run .* Received: .*input->dims->size"):
        shrink_file(data_folder / "tflite_odd" / "test_model.bin", tmp_path / "small.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x10\0\0\0TFL3" + b"\xff" * 40])
def test_what_is_no_model_leaves_nothing_behind(tmp_path, capsys, content):
    source = tmp_path / "bad.tflite"
    source.write_bytes(content)
    assert main(["shrink", str(source)]) == 2
    assert "bad.tflite: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tflite"]
    assert source.read_bytes() == content


def test_the_file_may_be_replaced_by_its_smaller_self(data_folder, tmp_path, capsys):
    path = tmp_path / "model.tflite"
    shutil.copy(data_folder / "tflite_tflm" / "hello_world_int8.tflite", path)
    before = path.stat().st_size
    assert main(["shrink", str(path), "-o", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["bytes_before"], found["bytes"]) == (before, path.stat().st_size)
    assert found["proof"]["runs"]["builtin"] >= 6


def test_missing_inputs_are_said_before_the_work(tmp_path, data_folder):
    with pytest.raises(DataError, match=r"nope\.npz: inputs must be an \.npz file"):
        shrink_file(data_folder / "tflite_tflm" / "hello_world_int8.tflite", trials=Trials(inputs=tmp_path / "nope.npz"))


@pytest.fixture
def small_file(data_folder):
    return (data_folder / "tflite_tflm" / "hello_world_int8.tflite").read_bytes()


def spoil(model, _):
    """A pass with a fault: it makes every weight of the first kernel one. Passes run in rounds, so a second time must change nothing."""
    tensor = model.subgraphs[0].tensors[int(model.subgraphs[0].operators[0].inputs[1])]
    kernel = np.asarray(model.buffers[tensor.buffer].data)
    spoilt = np.ones_like(kernel)
    model.buffers[tensor.buffer].data = spoilt
    return int(not np.array_equal(kernel, spoilt)), ()


def test_a_pass_that_changes_an_output_is_found_and_left_out(small_file, monkeypatch):
    table = {name: spoil if name == "fold_padding" else run for name, run in passes.PASSES.items()}
    monkeypatch.setattr(passes, "PASSES", table)
    shrunk = shrink(small_file)
    assert list(shrunk.left_out) == ["fold_padding"]
    assert "differs by" in shrunk.left_out["fold_padding"]
    assert len(shrunk.content) < len(small_file)
    assert shrunk.proof.mismatch is None


def test_names_and_records_stay_where_asked(small_file):
    names = [tensor.name for tensor in parse(small_file).subgraphs[0].tensors]
    kept = parse(shrink(small_file, Settings(keep_names=True, keep_metadata=True)).content)
    assert [tensor.name for tensor in kept.subgraphs[0].tensors] == names
    assert [name for name, _ in kept.metadata] == [name for name, _ in parse(small_file).metadata]


@pytest.mark.parametrize(("rounded_ms", "round_to"), [(0.5, 8), (0.99, 1), (1.5, 1)])
def test_rounded_numbers_of_channels_stay_only_where_they_are_clearly_faster(data_folder, tmp_path, monkeypatch, rounded_ms, round_to):
    def timed(paths, **_):  # the rounded file is the first
        times = dict(zip(paths, (rounded_ms, 1.0), strict=True))
        return [SimpleNamespace(model=name, p50_ms=times[name]) for name in paths]

    monkeypatch.setattr("edgecompress.file_race.benchmark_files", timed)
    source, out = data_folder / "mlperf_tiny" / "vww" / "vww_96_int8.tflite", tmp_path / "small.tflite"
    found = shrink_file(source, out, settings=Settings(round_to=8))
    least = shrink(source.read_bytes()).content
    assert found["round_to"] == round_to
    assert found["bytes"] == out.stat().st_size
    assert (out.read_bytes() == least) is (round_to == 1)


def test_an_export_that_cannot_be_proved_stays_as_it_is(monkeypatch, small_file):
    def refuse(content):
        raise ModelError("it has no fixed outputs.")

    monkeypatch.setattr(shrinking, "shrink", refuse)
    exported = shrink_export(small_file)
    assert exported.content == small_file
    assert exported.warnings == ("the file was not shrunk: it has no fixed outputs.",)


def test_a_proof_knows_what_is_only_missing_here():
    absent = "ai-edge-litert 2.3.0 refused the model: Encountered unresolved custom op: Sinh."
    assert Proof(refused={"xnnpack": absent, "builtin": absent}).lacks_parts
    assert not Proof(refused={"xnnpack": absent, "builtin": "the runtime crashed"}).lacks_parts
    assert not Proof(runs={"builtin": 6}, refused={"xnnpack": absent}).lacks_parts


def test_inputs_that_are_none_are_told_as_such(tmp_path, data_folder):
    model, out = data_folder / "mlperf_tiny" / "kws" / "kws_ref_model.tflite", tmp_path / "small.tflite"
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "objects.npz", input_0=np.array([None]))
    np.savez(tmp_path / "new_zip.npz", input_0=np.zeros(3))
    content = bytearray((tmp_path / "new_zip.npz").read_bytes())
    content[content.rfind(b"PK\x01\x02") + 6] = 99  # the version of ZIP that is needed to read it: 9.9
    (tmp_path / "new_zip.npz").write_bytes(content)
    found = dict.fromkeys(("text.npz", "objects.npz", "new_zip.npz"), "a file of another or damaged format")
    for name, words in (*found.items(), ("other.npz", "x"), ("no.npz", "nothing is there")):
        with pytest.raises(DataError, match=rf"{name}: inputs must be an \.npz file with input_0, .* Received: {words}\."):
            shrink_file(model, out, trials=Trials(inputs=tmp_path / name))
    assert not out.exists()
