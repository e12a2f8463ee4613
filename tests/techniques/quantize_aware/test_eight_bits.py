"""From the recipe's stage to the file: what is rewritten and annotated becomes 8-bit operators that compute what training saw."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.device.runtime import TfliteModel
from edgecompress.export import convert
from edgecompress.kernels_in_file import measure_keeps
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import PruneWeights, QuantizeAware, Train
from edgecompress.techniques import prune_weights, quantize_aware
from edgecompress.tflite import Rewritten, describe, list_operators, parse
from edgecompress.tflite.operators import float_operators

layers = keras.layers
STEP = Train(epochs=1, learning_rate=1e-4)


def squeeze_and_excite(x, name):
    """Scales channels by what they are on the mean."""
    gate = layers.Reshape((1, 1, x.shape[-1]), name=f"{name}_reshape")(layers.GlobalAveragePooling2D(name=f"{name}_squeeze")(x))
    gate = layers.Conv2D(4, 1, activation="swish", name=f"{name}_reduce")(gate)
    return layers.Multiply(name=f"{name}_excite")([x, layers.Conv2D(x.shape[-1], 1, activation="sigmoid", name=f"{name}_expand")(gate)])


def image_network():
    """What TF-MOT alone refuses in images of 8 x 8: activations, scales, gates, lone normalizations, joins, pools."""
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Normalization(mean=[0.3], variance=[0.1], name="normalization")(layers.Rescaling(0.5, 0.1, name="rescaling")(inputs))
    x = layers.Conv2D(8, 3, padding="same", activation="swish", name="stem")(x)
    x = layers.BatchNormalization(name="lone")(x)
    skip = layers.SeparableConv2D(8, 3, padding="same", activation="gelu", name="separable")(x)
    x = squeeze_and_excite(layers.LeakyReLU(name="leaky")(skip), "gate")
    x = layers.Conv2D(12, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = x * layers.ReLU(6.0, name="relu6")(x + 3.0) / 6.0
    x = layers.Activation("hard_sigmoid", name="hard_sigmoid")(layers.AveragePooling2D(name="pool")(x))
    x = layers.Conv2DTranspose(8, 2, strides=2, name="transposed")(x)
    x = layers.ReLU(2.0, name="limited")(layers.BatchNormalization(name="norm_of_transposed")(x))
    x = layers.Average(name="average")([layers.Concatenate(name="join")([x, skip]), layers.Concatenate(name="other")([skip, x])])
    x = layers.UpSampling2D(interpolation="bilinear", name="up")(layers.PReLU(shared_axes=[1, 2], name="prelu")(x))
    x = layers.AveragePooling2D((16, 16), name="mean")(x)
    x = layers.Dense(16, use_bias=False, name="hidden")(layers.Flatten(name="flat")(x))
    x = layers.BatchNormalization(name="norm_of_dense")(x)
    x = layers.Subtract(name="difference")([x, 0.5 * layers.Dense(16, name="side")(x)])
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="classes")(x))


def sequence_network():
    """A depthwise-separable network of one dimension; the 64 pixels of a digit are its steps."""
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Reshape((64, 1), name="steps")(inputs)
    x = layers.ReLU(name="relu")(
        layers.BatchNormalization(name="norm")(layers.Conv1D(8, 5, padding="same", use_bias=False, name="conv")(x))
    )
    for index in range(2):
        x = layers.DepthwiseConv1D(3, strides=2, padding="same", use_bias=False, name=f"depthwise{index}")(x)
        x = layers.ReLU(name=f"relu{index}")(layers.BatchNormalization(name=f"norm{index}")(x))
        x = layers.SeparableConv1D(12, 3, padding="causal", activation="relu", name=f"separable{index}")(x)
    x = layers.MaxPooling1D(2, name="max")(layers.Add(name="add")([x, layers.Conv1D(12, 1, name="point")(x), x]))
    x = layers.GlobalAveragePooling1D(name="pool")(layers.SpatialDropout1D(0.1, name="dropout")(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


def trained(build, make_context, stirred):
    """The stage's result on a stirred network, after one epoch on the digits."""
    keras.utils.set_random_seed(0)
    return quantize_aware.apply(stirred(build()), QuantizeAware(train=STEP), make_context())


def converted(model, digits):
    return convert(model, Export(format="int8"), calibration=digits.calibration.arrays()[0], progress=Progress())


def signal_to_noise_db(expected, received):
    return 10 * np.log10(np.var(expected) / np.mean((expected - received) ** 2))


@pytest.mark.parametrize("build", [image_network, sequence_network])
def test_every_operator_is_in_8_bits_and_computes_what_training_saw(build, make_context, stirred, digits, probe_in_this_process):
    result = trained(build, make_context, stirred)
    assert {record.action for record in result.layers} == {"changed"}
    conversion = converted(result.model, digits)
    assert conversion.warnings == []
    assert float_operators(parse(conversion.content)) == []
    assert {tensor["dtype"] for tensor in (*describe(conversion.content)["inputs"], *describe(conversion.content)["outputs"])} == {"int8"}
    samples = digits.validation.arrays()[0]
    expected, received = result.model.predict(samples, verbose=0), TfliteModel(conversion.content).predict(samples)
    # What training does not see: pools and sigmoids inside swish round once more.
    assert signal_to_noise_db(expected, received) > 25, signal_to_noise_db(expected, received)
    assert (expected.argmax(1) == received.argmax(1)).mean() > 0.95
    print("SNR", signal_to_noise_db(expected, received))
    ops = describe(conversion.content)["ops"]
    assert ops.get("RESHAPE", 0) <= 1  # the sequence is lifted once


def test_keeps_hold_in_layers_that_were_rewritten(make_context, stirred, digits, probe_in_this_process):
    """Half of the weights of each kernel are pruned first; zeros of one dimension are zeros of the image convolution and of the file."""
    model = stirred(sequence_network())
    pruned = prune_weights.apply(model, PruneWeights(sparsity=0.5), make_context())
    result = quantize_aware.apply(pruned.model, QuantizeAware(train=STEP), make_context(keeps=pruned.keeps))
    assert result.released == ()
    assert {keep.layer for keep in result.keeps} == {
        "conv", "separable0_pointwise", "separable1_pointwise", "point", "logits",
    }  # fmt: skip
    file = parse(converted(result.model, digits).content)
    reports = measure_keeps(result.model, result.keeps, Rewritten(file, file))
    assert all(report.held and report.on_tflite is not None for report in reports), reports


def recurrent(build):
    """A classifier of the digits' rows: Dense, `build`, Dense."""
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Dense(6, activation="relu", name="before")(layers.Reshape((8, 8), name="rows")(inputs))
    return keras.Model(inputs, layers.Dense(10, name="logits")(build(x)))


def test_lstm_gets_its_ranges_from_the_calibration_samples(make_context, digits, probe_in_this_process):
    result = trained(lambda: recurrent(lambda x: layers.LSTM(8, name="lstm")(x)), make_context, lambda model: model)
    skipped = {record.name: record.reason for record in result.layers if record.action == "skipped"}
    assert list(skipped) == ["lstm"]
    conversion = converted(result.model, digits)
    assert float_operators(parse(conversion.content)) == []
    samples = digits.validation.arrays()[0]
    received = TfliteModel(conversion.content).predict(samples)
    assert signal_to_noise_db(result.model.predict(samples, verbose=0), received) > 15  # of ranges that training did not see


def test_model_that_ends_in_an_lstm_is_converted_too(make_context, digits, probe_in_this_process):
    inputs = keras.Input((8, 8, 1), name="image")
    rows = layers.Dense(6, name="before")(layers.Reshape((8, 8), name="rows")(inputs))
    result = trained(lambda: keras.Model(inputs, layers.LSTM(10, name="lstm")(rows)), make_context, lambda model: model)
    assert float_operators(parse(converted(result.model, digits).content)) == []


def test_loop_stays_float_and_is_not_calibrated(make_context, digits, probe_in_this_process):
    result = trained(lambda: recurrent(lambda x: layers.GRU(4, name="gru")(x)), make_context, lambda model: model)
    conversion = converted(result.model, digits)
    assert "WHILE" in describe(conversion.content)["ops"]
    assert "operators that compute in float" in conversion.warnings[0]
    main = parse(conversion.content).subgraphs[0]
    outside = [operator for operator in list_operators(parse(conversion.content)) if operator.subgraph == 0]
    assert [operator.outputs[0].dtype for operator in outside if operator.name == "FULLY_CONNECTED"] == ["int8", "int8"]
    assert main.tensors[main.outputs[0]].dtype == "int8"
