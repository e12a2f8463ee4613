"""Files that are compiled for the Edge TPU: handed to libedgetpu where it is, refused in the right words where it is not.

No Edge TPU was at hand. The runtime that takes the delegate here is made up; the files and the refusals are real.
"""

import enum
import json
import types

import numpy as np
import pytest

from edgecompress.device import DeviceFault, edge_tpu
from edgecompress.device.__main__ import main
from edgecompress.device.installed import Runtime
from edgecompress.device.runtime import TfliteModel

REFUSED = "refused the model: it is compiled for the Edge TPU, so it needs one, and its library libedgetpu"
ELSE = "The file that it was compiled from runs on a CPU"
FILES = (
    "deeplabv3_mnv2_dm05_pascal_quant", "keras_lstm_mnist_ptq", "mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.5_160_quant", "split_concat",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_real_compiled_file_is_refused_with_what_it_needs_and_its_source_is_not(data_folder, name, monkeypatch):
    monkeypatch.setattr(edge_tpu, "find_library", lambda: None)
    folder = data_folder / "tflite_coral"
    with pytest.raises(DeviceFault) as refused:
        TfliteModel(folder / f"{name}_edgetpu.tflite")
    assert REFUSED in refused.value.reason
    assert refused.value.reason.endswith(f"which is not installed here. {ELSE}")
    assert TfliteModel(folder / f"{name}.tflite").delegate is None


def test_library_without_an_edge_tpu_is_said_in_words(data_folder, tmp_path, monkeypatch):
    library = tmp_path / "libedgetpu.so.1"
    library.write_bytes(b"no library")
    monkeypatch.setattr(edge_tpu, "find_library", lambda: str(library))
    with pytest.raises(DeviceFault) as refused:
        TfliteModel(data_folder / "tflite_coral" / "split_concat_edgetpu.tflite")
    assert f"{REFUSED}. {library} is here, but opens none: is one connected, and may this user reach it (group plugdev)?" in (
        refused.value.reason
    )


class Resolvers(enum.Enum):
    AUTO = 0
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


class Interpreter:
    """A runtime that takes a compiled file only beside its delegate."""

    made = ()

    def __init__(self, **options):
        self.made.append(options)
        self.options = options

    def allocate_tensors(self):
        if not self.options.get("experimental_delegates"):
            raise RuntimeError("Encountered unresolved custom op: edgetpu-custom-op.")

    def get_input_details(self):
        parameters = {"scales": np.zeros(0), "zero_points": np.zeros(0)}
        return [{"name": "x", "index": 0, "shape": np.array([1]), "dtype": np.float32, "quantization_parameters": parameters}]

    get_output_details = get_input_details

    def _get_ops_details(self):
        return [{"op_name": "DELEGATE", "inputs": [0], "outputs": [0], "index": 1}]


def test_delegate_is_handed_over_where_the_library_is(monkeypatch):
    loaded = []
    module = types.SimpleNamespace(load_delegate=lambda library: loaded.append(library) or "the delegate")
    monkeypatch.setattr(Interpreter, "made", [])
    monkeypatch.setattr(edge_tpu, "find_library", lambda: "libedgetpu.so.1")
    monkeypatch.setattr("ctypes.CDLL", lambda library: None)
    runtime = Runtime("ai-edge-litert", "2.3.0", Interpreter, Resolvers, module)
    monkeypatch.setattr("edgecompress.device.runtime.find_runtime", lambda: runtime)
    model = TfliteModel(b"any", threads=2)
    assert loaded == ["libedgetpu.so.1"]
    assert (model.delegate, model.kernels) == ("edgetpu", "builtin")
    assert Interpreter.made[1]["experimental_delegates"] == ["the delegate"]
    assert Interpreter.made[1]["experimental_op_resolver_type"] is Resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    assert Interpreter.made[1]["num_threads"] == 2


def test_compiled_file_and_its_cpu_fallback_are_measured_side_by_side(data_folder, tmp_path, capsys):
    folder = data_folder / "tflite_coral"
    files = [str(folder / name) for name in ("split_concat.tflite", "split_concat_edgetpu.tflite")]
    assert main(["benchmark", *files, "--runs", "50", "--json", str(tmp_path / "out.json")]) == 4
    cpu, compiled = json.loads((tmp_path / "out.json").read_text())["benchmark"]
    assert cpu["p50_ms"] > 0
    assert cpu["delegate"] is None
    assert REFUSED in compiled["error"]
    assert "libedgetpu" in capsys.readouterr().out
