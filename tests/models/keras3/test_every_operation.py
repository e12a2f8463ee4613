"""Every operation and activation with a translation, against Keras 3 itself; `translate` proves it or raises."""

import pytest

from edgecompress.backend import keras_3
from edgecompress.errors import ModelError
from edgecompress.models.allowed import ACTIVATIONS, FUNCTIONS
from edgecompress.models.keras3 import translate
from edgecompress.models.keras3.activations import COMPOSED
from edgecompress.models.keras3.operations import OPERATIONS, SLICE, function_layer
from edgecompress.models.rebuild import calls_of

KERAS_3 = keras_3()
L, ops = KERAS_3.layers, KERAS_3.ops

# Class of the operation: what is done with one tensor [batch, 4, 6].
EXAMPLES = {
    "Add": lambda x: x + 2, "Subtract": lambda x: 1.5 - x, "Multiply": lambda x: x * x, "Divide": lambda x: ops.divide(x, 255.0),
    "TrueDivide": lambda x: x / 3, "Power": lambda x: x**2, "Maximum": lambda x: ops.maximum(x, 0.1),
    "Minimum": lambda x: ops.minimum(x, 9.0),
    "Matmul": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))), "Equal": lambda x: ops.cast(ops.equal(ops.floor(x), 0), "float32"),
    "NotEqual": lambda x: ops.cast(ops.not_equal(ops.floor(x), 0), "float32"),
    "Negative": lambda x: -x, "Absolute": ops.absolute, "Sign": ops.sign, "Square": ops.square, "Sqrt": ops.sqrt,
    "Rsqrt": lambda x: ops.rsqrt(x + 2), "Reciprocal": lambda x: ops.reciprocal(x + 2), "Exp": lambda x: ops.exp(x / 100),
    "Expm1": lambda x: ops.expm1(x / 100), "Log": ops.log, "Log1p": ops.log1p, "Sin": ops.sin, "Cos": ops.cos, "Floor": ops.floor,
    "Ceil": ops.ceil, "Erf": ops.erf,
    "Mean": lambda x: ops.mean(x, axis=1), "Sum": lambda x: ops.sum(x, axis=(1, 2), keepdims=True),
    "Prod": lambda x: ops.prod(x / 99, axis=-1),
    "Max": lambda x: ops.max(x, axis=-1), "Amax": lambda x: ops.amax(x, axis=1), "Min": lambda x: ops.min(x, axis=2, keepdims=True),
    "Amin": lambda x: ops.amin(x, axis=1), "Var": lambda x: ops.var(x, axis=1), "Std": lambda x: ops.std(x, axis=-1, keepdims=True),
    "Reshape": lambda x: ops.reshape(x, (-1, 8, 3)), "Transpose": lambda x: ops.transpose(x, (0, 2, 1)),
    "Concatenate": lambda x: ops.concatenate([x, x * 2], axis=1), "Stack": lambda x: ops.stack([x, -x], axis=2),
    "ExpandDims": lambda x: ops.expand_dims(x, 1), "Squeeze": lambda x: ops.squeeze(ops.expand_dims(x, 1), 1),
    "Clip": lambda x: ops.clip(x, -0.5, 6.0), "Cast": lambda x: ops.cast(ops.cast(x, "int32"), "float32"),
    "Relu": ops.relu, "Relu6": ops.relu6, "Sigmoid": ops.sigmoid, "Tanh": ops.tanh, "Silu": ops.silu, "Selu": ops.selu,
    "Softplus": ops.softplus, "Softsign": ops.softsign, "Gelu": lambda x: ops.gelu(x, approximate=False),
    "LeakyRelu": lambda x: ops.leaky_relu(x, 0.3), "Softmax": lambda x: ops.softmax(x, axis=1), "LogSoftmax": ops.log_softmax,
    "StopGradient": ops.stop_gradient, "Copy": ops.copy, SLICE: lambda x: x[:, 1:, ::2],
}  # fmt: skip


def translated_by(compute):
    inputs = KERAS_3.Input((4, 6))
    model = KERAS_3.Model(inputs, compute(inputs))
    translated, difference = translate(model)
    return model, translated, difference


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_operation_computes_the_same_under_its_own_name(name):
    model, translated, difference = translated_by(EXAMPLES[name])
    assert name in {type(operation).__name__ for operation in model.operations}
    assert difference < 1e-5
    assert {call.layer.name for call in calls_of(translated)} == {call.layer.name for call in calls_of(model)}


def test_what_operations_become_may_be_loaded_again():
    """tf_keras saves a function under its canonical name, which may be another."""
    saved = {function_layer(function.name, "any").get_config()["function"] for function in OPERATIONS.values()}
    assert saved <= FUNCTIONS


def test_indices_and_new_axes_are_slices_too():
    assert translated_by(lambda x: x[:, 2])[2] == 0
    assert translated_by(lambda x: x[..., -1])[2] == 0


def test_operation_without_translation_is_refused_by_name():
    with pytest.raises(ModelError, match=r"operations must be among those with a translation.*\. Received: Norm \(keras\.ops\) in 'norm'"):
        translated_by(lambda x: ops.norm(x, axis=-1))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS - {"linear"}))
def test_activation_computes_the_same(name):
    assert translated_by(L.Activation(name))[2] < 1e-5
    assert translated_by(L.Dense(3, activation=name))[2] < 1e-5


@pytest.mark.parametrize("name", sorted(COMPOSED))
def test_activation_made_of_layers_is_made_once_for_a_shared_layer(name):
    shared = L.Dense(6, activation=name, name="shared")
    _, translated, difference = translated_by(lambda x: shared(shared(x)))
    assert difference < 1e-5
    assert len({layer.name for layer in translated.layers}) == len(translated.layers)
    assert len(translated.get_layer("shared").inbound_nodes) == 2


@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.LSTM(3, recurrent_activation="hard_sigmoid"),
        lambda: L.GRU(3, activation="hard_silu"),
        lambda: L.TimeDistributed(L.Dense(3, activation="hard_silu")),
    ],
)
def test_activation_that_cannot_be_taken_out_of_its_layer_is_refused_by_name(layer):
    with pytest.raises(ModelError, match=r"activation in \w+ must be one that Keras 2 has too\. Received: hard_\w+ in"):
        translated_by(layer())
