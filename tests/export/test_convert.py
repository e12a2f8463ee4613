"""Every format: what it holds, what it computes, what it refuses."""

import contextlib
import glob
import os
import re
import tempfile
import warnings

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecompress.backend import keras, tf
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ConversionError
from edgecompress.export import convert, rungs
from edgecompress.progress import Bar, Progress
from edgecompress.recipe.schema import Export
from edgecompress.tflite import describe, parse

FORMATS = ["float32", "float16", "dynamic", "int8", "int16x8"]


def agreement(content: bytes, model, inputs: np.ndarray) -> float:
    """Fraction of samples on which file and Keras model choose the same class."""
    return float((TfliteModel(content).predict(inputs).argmax(1) == model.predict(inputs, verbose=0).argmax(1)).mean())


def one_layer(layer, shape=(8, 8, 1)):
    inputs = keras.Input(shape, name="image")
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize(("format", "weights"), [("float32", "float32"), ("float16", "float16"), ("int8", "int8"), ("int16x8", "int8")])
def test_kernels_have_the_type_of_the_format(trained, convert_as, format, weights):
    described = describe(convert_as(trained, format=format).content)
    num_weights = sum(variable.shape.num_elements() for variable in trained.trainable_variables if variable.shape.rank > 1)
    assert described["bytes_by_type"][weights] >= num_weights * np.dtype(weights).itemsize


def test_dynamic_quantizes_kernels_of_1024_weights_and_more(trained, convert_as):
    by_type = describe(convert_as(trained, format="dynamic").content)["bytes_by_type"]
    assert by_type["int8"] == 512 * 32  # `hidden`; the others are under TensorFlow's limit


@pytest.mark.parametrize("format", FORMATS)
def test_batch_is_one_and_no_dimension_is_open(trained, convert_as, format):
    conversion = convert_as(trained, format=format)
    main = parse(conversion.content).subgraphs[0]
    assert conversion.rung == "concrete function"
    assert conversion.refused == []
    assert conversion.seconds > 0
    assert [main.tensors[index].shape for index in main.inputs + main.outputs] == [(1, 8, 8, 1), (1, 10)]
    assert all(-1 not in tensor.shape + tensor.shape_signature for tensor in main.tensors)


@pytest.mark.parametrize("io", ["int8", "uint8", "float32"])
def test_int8_has_the_asked_type_outside_and_integers_inside(trained, convert_as, io):
    conversion = convert_as(trained, format="int8", io=io)
    described = describe(conversion.content)
    assert [tensor["dtype"] for tensor in described["inputs"] + described["outputs"]] == [io, io]
    assert conversion.warnings == []
    if io == "int8":
        assert not {"QUANTIZE", "DEQUANTIZE"} & set(described["ops"])


@pytest.mark.parametrize(("format", "least"), [("float32", 1.0), ("float16", 0.99), ("dynamic", 0.98), ("int8", 0.97), ("int16x8", 0.99)])
def test_the_file_chooses_the_same_classes_as_keras(trained, convert_as, digit_arrays, format, least):
    """The limits are those of the formats: 0 rounding, 11 bits of mantissa, 8-bit weights, 8 bits throughout, 16-bit activations."""
    assert agreement(convert_as(trained, format=format).content, trained, digit_arrays[2]) >= least


@pytest.mark.parametrize("also", [None, "c_array"])
def test_dense_kernels_for_a_microcontroller_have_one_scale(trained, convert_as, also):
    """Its FullyConnected refuses one scale per channel (tflite-micro, pull request 2602)."""
    tflite = parse(convert_as(trained, format="int8", also=also).content)
    main = tflite.subgraphs[0]
    dense = [operator for operator in main.operators if tflite.operator_codes[operator.code].name == "FULLY_CONNECTED"]
    assert dense
    for operator in dense:
        kernel = main.tensors[operator.inputs[1]]
        assert kernel.quantization.scales.size == (1 if also else kernel.shape[0])


@pytest.mark.parametrize("format", ["float32", "dynamic", "int8"])
def test_same_model_and_samples_give_the_same_bytes(trained, convert_as, format):
    assert convert_as(trained, format=format).content == convert_as(trained, format=format, fresh=True).content


def test_the_model_is_not_changed(trained, convert_as):
    before, nodes = trained.get_weights(), len(trained.inbound_nodes)
    convert_as(trained, format="int8", fresh=True)
    assert len(trained.inbound_nodes) == nodes
    assert all((old == new).all() for old, new in zip(before, trained.get_weights(), strict=True))


@pytest.fixture(scope="module")
def small():
    """One convolution with random weights."""
    keras.utils.set_random_seed(0)
    return one_layer(keras.layers.Conv2D(4, 3, name="conv"))


@pytest.mark.parametrize("name", ["Keras model", "SavedModel"])
def test_lower_rungs_reach_the_same_outputs(small, convert_as, digit_arrays, monkeypatch, name):
    """The ladder is climbed down by breaking the rungs above."""
    expected = TfliteModel(convert_as(small, format="int8").content).predict(digit_arrays[2][:20])

    def break_rung(source, settings):
        raise ValueError("broken on purpose\nwith noise")

    above = list(rungs.RUNGS)[: list(rungs.RUNGS).index(name)]
    for other in above:
        monkeypatch.setitem(rungs.RUNGS, other, break_rung)
    conversion = convert_as(small, format="int8", fresh=True)
    assert conversion.rung == name
    assert conversion.refused == [f"{other}: broken on purpose" for other in above]
    np.testing.assert_array_equal(TfliteModel(conversion.content).predict(digit_arrays[2][:20]), expected)


def test_when_all_rungs_refuse_each_says_why(small, convert_as, monkeypatch):
    def refuse_because(cause):
        def rung(source, settings):
            raise ValueError(cause)

        return rung

    for name in rungs.RUNGS:
        monkeypatch.setitem(rungs.RUNGS, name, refuse_because(f"no {name}"))
    message = (
        r"^the model cannot be converted to float32: "
        r"concrete function: no concrete function; Keras model: no Keras model; SavedModel: no SavedModel\.$"
    )
    with pytest.raises(ConversionError, match=message):
        convert_as(small, format="float32", fresh=True)


def test_a_file_that_the_runtime_refuses_does_not_count(small, convert_as, monkeypatch, real_probe):
    """The Keras model's own file, but for an operator version that no runtime has."""

    def spoil(source, settings):
        model = schema.ModelT.InitFromPackedBuf(rungs.from_concrete_function(source, settings))
        model.operatorCodes[0].version = 99
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    monkeypatch.setitem(rungs.RUNGS, "concrete function", spoil)
    conversion = convert_as(small, format="float32", fresh=True)
    assert conversion.rung == "Keras model"
    assert re.match(r"concrete function: ai-edge-litert .* refused the model: Didn't find op .*CONV_2D.*99", conversion.refused[0])


def test_a_file_whose_batch_is_open_does_not_count(small, convert_as, monkeypatch):
    def open_batch(source, settings):
        return tf.lite.TFLiteConverter.from_keras_model(source.model).convert()

    monkeypatch.setitem(rungs.RUNGS, "concrete function", open_batch)
    assert convert_as(small, format="float32", fresh=True).refused == [
        "concrete function: input 'serving_default_image:0' must have a batch of 1 and a fixed shape. Received: (-1, 8, 8, 1)"
    ]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (None, r"^the format int8 needs calibration samples: at least one must be given\. Received: none\.$"),
        (np.zeros((0, 8, 8, 1), np.float32), r"at least one must be given\. Received: none"),
        (np.full((5, 8, 8, 1), np.nan, np.float32), r"must be finite numbers\. Received: 5 that are NaN or infinite"),
        (np.full((5, 8, 8, 1), 0.25, np.float32), r"must vary\. Received: 5 that are 0\.25 everywhere"),
        (np.zeros((5, 9, 9, 1), np.float32), r"must have the model's input shape \(8, 8, 1\)\. Received: \(9, 9, 1\)"),
    ],
)
def test_samples_that_cannot_calibrate_are_refused(trained, convert_as, samples, message):
    with pytest.raises(ConversionError, match=message):
        convert_as(trained, format="int8", samples=samples)


def test_one_bad_sample_among_good_ones_is_refused(trained, convert_as, calibration):
    damaged = calibration.copy()
    damaged[3, 0, 0, 0] = np.inf
    with pytest.raises(ConversionError, match="Received: 1 that are NaN or infinite"):
        convert_as(trained, format="int16x8", samples=damaged)


def test_samples_are_not_looked_at_where_they_are_not_needed(trained, convert_as):
    assert convert_as(trained, format="float32", samples=None).content


def test_an_operator_that_tensorflow_lite_lacks_is_named_in_one_line(convert_as):
    model = one_layer(lambda x: tf.math.erfinv(x))
    with pytest.raises(ConversionError, match=r"^the model cannot be converted to int8: TensorFlow Lite has no operator Erfinv\.$"):
        convert_as(model, format="int8")


def test_operators_without_an_integer_kernel_stay_in_float_with_a_warning(convert_as):
    model = one_layer(lambda x: keras.layers.Conv2D(2, 3, name="c")(tf.math.sin(keras.layers.Conv2D(4, 3)(x))))
    (warning,) = convert_as(model, format="int8").warnings
    assert re.match(r"operators that compute in float, not in integers: 1, namely SIN \(", warning)
    assert re.match(r"operators that compute in float.*SIN", convert_as(model, format="int16x8").warnings[0])


def test_a_loop_is_refused_before_it_kills_the_converter(convert_as):
    """Calibrating the operator WHILE ends TensorFlow 2.21 with a segmentation fault."""
    model = one_layer(lambda x: keras.layers.GRU(2)(keras.layers.Reshape((8, 8))(x)))
    with pytest.raises(ConversionError, match=r"must not loop, as GRU and SimpleRNN do: .* WHILE\. Build them with unroll=True"):
        convert_as(model, format="int8")


def test_an_lstm_is_not_a_loop_for_the_converter(convert_as):
    model = one_layer(lambda x: keras.layers.LSTM(2)(keras.layers.Reshape((8, 8))(x)))
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in describe(convert_as(model, format="int8").content)["ops"]


def test_an_open_input_shape_is_refused(convert_as):
    model = one_layer(keras.layers.Conv2D(2, 3), shape=(None, None, 1))
    with pytest.raises(ConversionError, match=r"must be fixed apart from the batch\. Received: \(None, None, None, 1\)"):
        convert_as(model, format="float32")


def test_a_model_that_was_never_built_is_refused(convert_as):
    with pytest.raises(ConversionError, match=r"must have a known input: build it or call it first\. Received: 'sequential"):
        convert_as(keras.Sequential([keras.layers.Dense(2)]), format="float32")


def test_a_model_that_cannot_be_traced_says_why(convert_as):
    def refuse_batch_of_one(x):
        if x.shape[0] == 1:
            raise ValueError("one sample is not enough")
        return x

    model = one_layer(keras.layers.Lambda(refuse_batch_of_one, name="picky"))
    with pytest.raises(ConversionError, match=r"^the model cannot be traced for conversion: one sample is not enough$"):
        convert_as(model, format="float32")


def test_two_inputs_convert_to_float_and_need_samples_of_both_for_int8(convert_as):
    inputs = [keras.Input((4,), name="left"), keras.Input((4,), name="right")]
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Concatenate()(inputs)))
    assert len(describe(convert_as(model, format="float32").content)["inputs"]) == 2
    with pytest.raises(ConversionError, match=r"must have samples for each input, left, right\. Received: left\."):
        convert_as(model, format="int8", samples=np.ones((3, 4), np.float32))


def test_integer_inputs_keep_their_type(convert_as):
    inputs = keras.Input((4,), dtype="int32", name="tokens")
    model = keras.Model(inputs, keras.layers.Flatten()(keras.layers.Embedding(10, 3)(inputs)))
    assert describe(convert_as(model, format="float32").content)["inputs"][0]["dtype"] == "int32"


def test_a_runtime_that_is_too_old_gets_a_file_it_can_load(trained, convert_as):
    """TensorFlow 2.21 writes FULLY_CONNECTED version 12, which tflite-runtime 2.14 does not know; per-tensor kernels need version 9."""
    assert describe(convert_as(trained, format="dynamic").content)["op_versions"]["FULLY_CONNECTED"] == 12
    fitting = convert_as(trained, format="dynamic", runtime="tflite-runtime==2.14.0")
    assert describe(fitting.content)["op_versions"]["FULLY_CONNECTED"] == 9


def test_a_runtime_for_which_nothing_helps_is_refused(trained, convert_as):
    with pytest.raises(
        ConversionError, match=r"^target\.runtime must know all operators .* Received: tflite-runtime==2\.1\.0, too old for CONV_2D"
    ):
        convert_as(one_layer(keras.layers.Conv2D(64, 3), shape=(8, 8, 64)), format="dynamic", runtime="tflite-runtime==2.1.0")


def test_progress_counts_calibration_samples(trained, calibration):
    class Counting(Progress):
        def __init__(self):
            self.tasks, self.advanced = [], 0

        @contextlib.contextmanager
        def task(self, name, total=None):
            self.tasks.append((name, total))
            bar = Bar()
            bar.advance = lambda amount=1: setattr(self, "advanced", self.advanced + amount)
            yield bar

    counting = Counting()
    convert(trained, Export(format="int8"), calibration=calibration, progress=counting)
    assert counting.tasks == [("converting to int8", 50)]
    assert counting.advanced == 50


def test_nothing_is_printed_warned_or_left_behind(trained, convert_as, capsys, real_probe):
    before = set(glob.glob(os.path.join(tempfile.gettempdir(), "edgecompress-*")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert_as(trained, format="int8", fresh=True)
        convert_as(trained, format="dynamic", only=["hidden"], fresh=True)
    assert capsys.readouterr().out == ""
    assert set(glob.glob(os.path.join(tempfile.gettempdir(), "edgecompress-*"))) <= before
