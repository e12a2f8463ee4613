"""Where fake-quantization stands, and why a layer has none."""

import pytest

from edgecompress.backend import keras, tf
from edgecompress.techniques.quantize_aware.annotate import annotate
from edgecompress.techniques.quantize_aware.rewrite import rewrite
from edgecompress.techniques.quantize_aware.roles import Role
from edgecompress.techniques.quantize_aware.rules import RULES

layers = keras.layers


def annotated(inputs, outputs, skipped=()):
    """Annotations by layer of the rewritten model."""
    model = rewrite(keras.Model(inputs, outputs), RULES, untouched=skipped).model
    return annotate(model, dict.fromkeys(skipped, "named in `skip`"))


def quantized(annotations):
    """Layers whose output is quantized."""
    return {name for name, annotation in annotations.items() if annotation.quantizes_output}


@pytest.fixture
def image():
    return keras.Input((8, 8, 3), name="image")


def test_convolution_with_batch_normalization_and_relu_is_quantized_once_at_its_end(image):
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(image))
    annotations = annotated(image, layers.ReLU(6.0, name="relu")(x))
    assert {name: annotation.role for name, annotation in annotations.items()} == {
        "image": Role.INPUT, "conv": Role.WEIGHTS, "norm": Role.FOLDED, "relu": Role.OUTPUT,
    }  # fmt: skip
    assert quantized(annotations) == {"image", "relu"}


def test_value_that_is_read_twice_is_quantized_even_before_a_relu(image):
    x = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    assert quantized(annotated(image, layers.Add(name="add")([x, layers.ReLU(name="relu")(x)]))) == {"image", "conv", "relu", "add"}


def test_batch_normalization_of_a_value_that_is_read_twice_does_not_fold_into_its_convolution(image):
    x = layers.Conv2D(4, 3, name="conv")(image)
    annotations = annotated(image, layers.Add(name="add")([x, layers.BatchNormalization(name="norm")(x)]))
    assert quantized(annotations) == {"image", "conv", "norm", "add"}
    assert annotations["norm_identity"].role is Role.WEIGHTS


def test_layers_that_move_values_have_no_range_of_their_own(image):
    x = layers.UpSampling2D(interpolation="bilinear", name="up")(layers.MaxPooling2D(name="pool")(image))
    x = layers.Flatten(name="flat")(layers.Dropout(0.1, name="dropout")(layers.AveragePooling2D(name="mean")(x)))
    annotations = annotated(image, layers.Dense(2, name="dense")(x))
    assert quantized(annotations) == {"image", "dense"}
    assert {annotations[name].role for name in ("up", "pool", "flat", "dropout", "mean")} == {Role.MOVES}


def test_softmax_sigmoid_and_tanh_have_the_range_that_the_runtime_fixes(image):
    x = layers.Dense(4, activation="sigmoid", name="gate")(image)
    annotations = annotated(image, layers.Softmax(name="classes")(layers.Activation("tanh", name="tanh")(layers.Dense(2, name="dense")(x))))
    assert quantized(annotations) == {"image", "gate", "dense"}
    assert {annotations[name].role for name in ("gate_activation", "tanh", "classes")} == {Role.FIXED}


def test_value_that_only_a_concatenate_reads_takes_the_range_of_that(image):
    small = layers.UpSampling2D(name="up")(layers.Conv2D(4, 3, strides=2, padding="same", name="only")(image))
    wide = layers.Conv2D(4, 3, padding="same", name="twice")(image)
    joined = layers.Concatenate(name="join")([small, wide])
    annotations = annotated(image, layers.Add(name="add")([layers.Conv2D(4, 1, name="end")(joined), wide]))
    assert quantized(annotations) == {"image", "twice", "join", "end", "add"}


def test_hard_swish_is_quantized_at_its_ends_alone(image):
    x = layers.Conv2D(4, 3, name="conv")(image)
    gate = layers.ReLU(6.0, name="gate")(x + 3.0)
    first = annotated(image, layers.Multiply(name="end")([x, gate * (1 / 6)]))
    assert quantized(first) == {"image", "conv", "end"}
    assert sum(annotation.role is Role.INNER for annotation in first.values()) == 3
    second = annotated(image, (x * gate) / 6.0)
    assert len(quantized(second)) == 3
    assert sum(annotation.role is Role.INNER for annotation in second.values()) == 3


def test_what_only_looks_like_a_hard_swish_is_quantized_step_by_step(image):
    x = layers.Conv2D(4, 3, name="conv")(image)
    gate = layers.ReLU(6.0, name="gate")(x + 3.0)
    for output in (layers.Multiply()([x, gate * 0.2]), layers.Multiply()([gate, gate * (1 / 6)]), (gate * x) / 6.0):
        assert all(annotation.role is not Role.INNER for annotation in annotated(image, output).values())


def test_float_layer_is_quantized_where_an_8_bit_layer_reads_it(image):
    x = layers.LayerNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(image))
    annotations = annotated(image, layers.Dense(2, name="dense")(layers.Flatten(name="flat")(x)))
    assert quantized(annotations) == {"image", "conv", "flat", "dense"}
    assert annotations["flat"].reason == "it moves float values"


def test_skipped_convolution_takes_its_batch_normalization_along(image):
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(image))
    annotations = annotated(image, layers.ReLU(name="relu")(x), skipped=["conv"])
    assert annotations["conv"].reason == "named in `skip`"
    assert annotations["norm"].reason == "its statistics belong to conv, which stays float"
    assert quantized(annotations) == {"image", "norm", "relu"}


def test_nothing_that_shares_its_scale_with_an_lstm_is_quantized():
    steps = keras.Input((8, 4), name="steps")
    x = layers.LSTM(4, name="lstm")(layers.Dense(4, name="before")(steps))
    side = layers.Flatten(name="flat")(layers.Dense(2, name="side")(steps))
    joined = layers.Concatenate(name="join")([layers.Dropout(0.1, name="dropout")(x), side])
    annotations = annotated(steps, layers.Dense(2, name="end")(joined))
    assert quantized(annotations) == {"steps", "before", "end"}
    assert annotations["lstm"].reason.startswith("training does not simulate the ranges inside it")
    assert annotations["join"].reason == "it passes on what an LSTM gives, which stays float"


def test_loops_and_unrolled_lstms_are_quantized_around():
    steps = keras.Input((8, 4), name="steps")
    x = layers.LSTM(4, unroll=True, name="lstm")(layers.GRU(4, return_sequences=True, name="gru")(steps))
    assert quantized(annotated(steps, layers.Dense(2, name="end")(x))) == {"steps", "lstm", "end"}


def test_whole_numbers_that_only_an_embedding_reads_are_not_quantized():
    words = keras.Input((8,), name="words")
    x = layers.GlobalAveragePooling1D(name="pool")(layers.Embedding(10, 4, name="table")(words))
    assert quantized(annotated(words, x)) == {"table", "pool"}


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda x: layers.Activation("elu", name="layer")(x), "the converter has no 8-bit form of elu"),
        (lambda x: layers.ReLU(threshold=0.5, name="layer")(x), "there is no 8-bit scheme for ReLU"),
        (lambda x: tf.math.sin(x, name="layer"), "there is no 8-bit scheme for the operator math.sin"),
        (
            lambda x: layers.MultiHeadAttention(1, 2, name="layer")(x, x),
            "the products inside it are one layer to Keras, without a range each",
        ),
    ],
)
def test_float_layers_say_why(image, build, reason):
    reasons = {annotation.reason for annotation in annotated(image, build(image)).values() if annotation.role is Role.FLOAT}
    assert reasons == {reason}
