"""What `inspect` says of a model, and what it does not claim to know."""

import json

import pytest
from rich.console import Console

from edgecompress.backend import keras
from edgecompress.cli import main
from edgecompress.errors import ModelError
from edgecompress.inspection import inspect, inspection_table, is_tflite
from edgecompress.models import save_model


def printed(table):
    console = Console(width=250, markup=False)  # as the command line has it
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.fixture
def saved(tmp_path):
    def save(*layers):
        save_model(keras.Sequential(list(layers)), tmp_path / "model [b].h5")
        return tmp_path / "model [b].h5"

    return save


def test_keras_model_has_its_parameters_and_macs(saved):
    path = saved(keras.layers.Dense(3, input_shape=(4,), name="dense"), keras.layers.ReLU())
    facts = inspect(path)
    assert (facts["kind"], facts["parameters"], facts["macs"]) == ("keras", 15, 12)
    assert facts["bytes"] == path.stat().st_size
    assert [layer["macs"] for layer in facts["layers"]] == [12, 0]
    assert "15 parameters, 12 MACs" in printed(inspection_table(facts))


def test_macs_without_a_formula_are_unknown_not_zero(saved):
    layers = keras.layers
    facts = inspect(saved(layers.Dense(4, input_shape=(4,)), layers.ReLU(), layers.UnitNormalization()))
    assert facts["macs"] is None
    assert [layer["macs"] for layer in facts["layers"]] == [16, 0, None]
    output = printed(inspection_table(facts))
    assert "unknown MACs" in output
    assert output.rstrip().splitlines()[-2].rstrip("│ ").endswith("unknown")


def test_version_of_a_file_with_unknown_operators_reads_as_a_sentence():
    facts = {
        "kind": "tflite", "path": "m.tflite", "bytes": 10, "min_runtime_version": "unknown, at least 1.14.0 (FlexErf)", "bytes_by_kind": {},
        "operators": [], "channels": {"total": 0}, "entropy_bytes": 0, "edgetpu": None, "arena_bytes": None,
    }  # fmt: skip
    words = "m.tflite: 10 bytes; oldest TensorFlow Lite that runs it: unknown, at least 1.14.0 (FlexErf)"
    assert printed(inspection_table(facts)).startswith(words)


def test_names_are_shown_as_they_are(saved):
    assert "model [b].h5:" in printed(inspection_table(inspect(saved(keras.layers.Dense(1, input_shape=(1,))))))


@pytest.mark.parametrize(("name", "hint"), [("no.tflite", ""), ("modle.h5", r" Did you mean 'model\.h5'\?")])
def test_missing_file_is_named_and_a_near_name_too(tmp_path, name, hint):
    (tmp_path / "model.h5").touch()
    with pytest.raises(ModelError, match=rf"{name}: must be a model: .* Received: nothing is there\.{hint}$"):
        inspect(tmp_path / name)


def test_content_tells_the_kind_and_so_does_the_name(tmp_path):
    for name, content, expected in [("a.bin", b"\x1c\0\0\0TFL3", True), ("a.tflite", b"", True), ("a.h5", b"\x89HDF\r\n\x1a\n", False)]:
        (tmp_path / name).write_bytes(content)
        assert is_tflite(tmp_path / name) is expected
    assert not is_tflite(tmp_path)


def test_a_tflite_is_weighed_by_kind_counted_by_channel_and_drawn(data_folder, tmp_path, capsys):
    """971 of its channels have no weight but zeros; more never change because of those."""
    path, page = data_folder / "mlperf_tiny" / "vww" / "vww_96_int8.tflite", tmp_path / "lens.html"
    assert main(["inspect", str(path), "--json", "--html", str(page)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert sum(facts["bytes_by_kind"].values()) == facts["bytes"] == 333_288
    assert facts["channels"]["total"] == 2_738
    assert facts["channels"]["constant"] >= 971
    assert sum(operator["macs"] for operator in facts["operators"]) == 7_489_664
    assert 0 < facts["entropy_bytes"] < sum(size for kind, size in facts["bytes_by_kind"].items() if kind.startswith("weights"))
    for operator in facts["operators"]:
        if operator["macs"]:
            assert operator["intensity"] == pytest.approx(operator["macs"] / operator["moved_bytes"])
    html = page.read_text()
    assert "Above its entropy floor" in html
    assert html.count("<svg") >= 2
    assert html.count("DEPTHWISE_CONV_2D") >= 13  # one line each


def test_damaged_tflite_is_named_once(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"no model at all")
    with pytest.raises(ModelError, match=r"m\.tflite: the file must be a \.tflite file") as raised:
        inspect(tmp_path / "m.tflite")
    assert str(raised.value).count("m.tflite") == 1
