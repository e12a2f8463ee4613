"""The interpreter wrapper on tiny files and on real ones."""

import importlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from edgecompress.device import DeviceFault
from edgecompress.device.installed import find_runtime
from edgecompress.device.quantization import dequantize, quantize
from edgecompress.device.runtime import TfliteModel

ALL_TYPES = ("float32", "int8", "uint8", "int16", "int64", "bool")


def test_specs_name_shape_type_and_quantization(tiny):
    model = TfliteModel(tiny("double", (1, 2, 3), "int8", 0.25, -7))
    (spec,) = model.inputs
    assert (spec.name, spec.shape, spec.dtype, spec.scale, spec.zero_point) == ("x", (1, 2, 3), "int8", 0.25, -7)
    assert model.outputs[0].name == "y"
    (plain,) = TfliteModel(tiny("double")).inputs
    assert (plain.dtype, plain.scale, plain.zero_point) == ("float32", None, None)


def test_several_inputs_and_outputs_of_every_type(tiny):
    model = TfliteModel(tiny("identity", (1, 3), *ALL_TYPES))
    inputs = [np.array([[0, 1, 100]]).astype(dtype) for dtype in ALL_TYPES]
    outputs = model.invoke(inputs)
    for dtype, value, output in zip(ALL_TYPES, inputs, outputs, strict=True):
        assert output.dtype == dtype
        np.testing.assert_array_equal(output, ~value if dtype == "bool" else value)


def test_path_and_bytes_give_the_same_model(tiny, tiny_file):
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    np.testing.assert_array_equal(TfliteModel(tiny_file("double")).invoke([x]), TfliteModel(tiny("double")).invoke([x]))


def test_outputs_are_copies(tiny):
    model = TfliteModel(tiny("double"))
    first = model.invoke([np.ones((1, 4), np.float32)])[0]
    model.invoke([np.zeros((1, 4), np.float32)])
    np.testing.assert_array_equal(first, np.full((1, 4), 2, np.float32))


def test_invoke_forgets_the_invoke_before_and_run_goes_on(tiny):
    model = TfliteModel(tiny("stateful"))
    inputs = [np.full((1, 1), 3, np.float32), np.ones((1, 1), np.float32), np.array([[10, 1]], np.float32)]  # now + 10 * before
    assert [float(model.invoke(inputs)[0][0, 0]) for _ in range(3)] == [3, 3, 3]
    model.run()
    assert float(model.get_outputs()[0][0, 0]) == 33


@pytest.mark.parametrize("num_samples", [0, 1, 3, 4, 7])
def test_predict_takes_any_number_of_samples(tiny, num_samples):
    x = np.random.default_rng(0).normal(size=(num_samples, 4)).astype(np.float32)
    for batch_size in (None, 4):
        received = TfliteModel(tiny("double"), batch_size=batch_size).predict(x)
        assert received.dtype == np.float32
        np.testing.assert_allclose(received, 2 * x, rtol=1e-6)  # one float32 addition


def test_predict_quantizes_and_dequantizes(tiny):
    model = TfliteModel(tiny("double", (1, 4), "int8", 0.5, 10))
    x = np.array([[0.0, 1.2, -3.3, 1000.0]], np.float32)
    raw = model.invoke([quantize(x, model.inputs[0])])[0]
    np.testing.assert_array_equal(model.predict(x), dequantize(raw, model.outputs[0]))
    np.testing.assert_allclose(model.predict(x)[0, :3], [0.0, 2.0, -7.0])  # 1.2 -> 1.0 and -3.3 -> -3.5 on the grid of 0.5
    assert model.predict(x)[0, 3] == (127 - 10) * 0.5  # clipped, not wrapped


def test_batch_size_resizes_every_input(tiny):
    model = TfliteModel(tiny("identity", (1, 3), "float32", "int8"), batch_size=5)
    assert [spec.shape for spec in model.inputs + model.outputs] == [(5, 3)] * 4


def test_builtin_kernels_are_asked_for_and_reported(tiny):
    assert TfliteModel(tiny("double"), kernels="builtin").kernels == "builtin"
    assert TfliteModel(tiny("identity", (1, 3), "int64")).kernels == "builtin"  # nothing that XNNPACK takes


def test_xnnpack_is_reported_where_it_took_operators(data_folder):
    path = data_folder / "mlperf_tiny/ic/pretrainedResnet.tflite"
    assert TfliteModel(path).kernels == "xnnpack"
    assert TfliteModel(path, kernels="builtin").kernels == "builtin"


def test_output_steps_look_through_dequantize(tiny):
    assert TfliteModel(tiny("dequantized", 0.125), kernels="builtin").output_steps() == [0.125]
    assert TfliteModel(tiny("double", (1, 4), "int8", 0.25)).output_steps() == [0.25]
    assert TfliteModel(tiny("double")).output_steps() == [None]


@pytest.mark.parametrize("threads", [1, 2])
def test_real_int8_model_agrees_over_threads(data_folder, threads):
    model = TfliteModel(data_folder / "mlperf_tiny/kws/kws_ref_model.tflite", threads=threads)
    x = np.random.default_rng(1).integers(-128, 127, (1, 49, 10, 1)).astype(np.int8)
    one = TfliteModel(data_folder / "mlperf_tiny/kws/kws_ref_model.tflite").invoke([x])
    np.testing.assert_array_equal(model.invoke([x]), one)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the model is empty"), (b"not a flatbuffer at all", "refused the model: "), (b"\0" * 64, "refused the model: ")],
)
def test_broken_files_are_refused_in_words(tmp_path, content, reason):
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(DeviceFault, match=reason):
            TfliteModel(source)


@pytest.mark.skipif(find_runtime().name == "tflite-runtime", reason="tflite-runtime 2.14 does not verify files")
def test_truncated_file_is_refused(tiny):
    content = tiny("double")
    for size in range(8, len(content) - 40, 40):
        with pytest.raises(DeviceFault, match="refused the model"):
            TfliteModel(content[:size])


def test_missing_file_and_folder_name_the_path(tmp_path):
    for path in (tmp_path / "no.tflite", tmp_path):
        with pytest.raises(DeviceFault, match=rf"{path}: the model cannot be read: "):
            TfliteModel(path)


def test_wrong_inputs_are_value_errors(tiny):
    model = TfliteModel(tiny("double"))
    with pytest.raises(ValueError, match=r"inputs must be 1 arrays\. Received: 0"):
        model.invoke([])
    with pytest.raises(ValueError, match=r"input 'x' must be float32 of shape \(1, 4\)\. Received: float32 of shape \(4,\)"):
        model.invoke([np.zeros(4, np.float32)])
    with pytest.raises(ValueError, match=r"Received: float64 of shape \(1, 4\)"):
        model.invoke([np.zeros((1, 4))])
    with pytest.raises(ValueError, match=r"must have 1 input and 1 output\. Received: 2 and 2"):
        TfliteModel(tiny("identity", (1, 3), "float32", "int8")).predict(np.zeros((1, 3)))


def test_a_runtime_without_room_for_inputs_is_a_device_fault(tiny, monkeypatch):
    def refuse(index, value):
        raise ValueError("Cannot set tensor: Tensor is unallocated. Try calling allocate_tensors() first")  # after a run that failed

    model = TfliteModel(tiny("double"))
    monkeypatch.setattr(model._interpreter, "set_tensor", refuse)
    with pytest.raises(DeviceFault, match=r"takes no input: .*unallocated"):
        model.invoke([np.ones((1, 4), np.float32)])


def test_runtimes_are_tried_in_order(monkeypatch):
    tried = []

    def import_nothing(name):
        tried.append(name)
        raise ImportError("absent")

    monkeypatch.setattr(importlib, "import_module", import_nothing)
    with pytest.raises(DeviceFault, match=r"install ai-edge-litert, or tflite-runtime.*\(ai-edge-litert: absent; tflite-runtime: absent; "):
        find_runtime()
    assert tried == ["ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow"]


def test_tensorflow_is_the_last_resort(monkeypatch):
    for name in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    lite = SimpleNamespace(Interpreter="interpreter", experimental=SimpleNamespace(OpResolverType="resolvers"))
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(__version__="2.0", lite=lite))
    monkeypatch.setitem(sys.modules, "tensorflow.lite", SimpleNamespace())  # that of TensorFlow 2.21 is empty
    runtime = find_runtime()
    assert (runtime.name, runtime.version, runtime.interpreter, runtime.resolvers) == ("tensorflow", "2.0", "interpreter", "resolvers")


def test_runtime_that_is_half_there_counts_as_none(monkeypatch):
    for name in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    with pytest.raises(DeviceFault, match=r"no TFLite runtime can be imported.*has no attribute 'lite'"):
        find_runtime()
