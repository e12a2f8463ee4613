"""Training below 8 bits: what is trained stands in the file, integer by integer."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ModelError, RecipeError
from edgecompress.export import convert
from edgecompress.graph.kernel_weights import KERNEL_WEIGHTS, model_kernels
from edgecompress.graph.layers import describe_layers
from edgecompress.keeps import Keep
from edgecompress.kernels_in_file import measure_keeps
from edgecompress.models.copying import copy_model, with_layers_wrapped
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import QuantizeAware, Train
from edgecompress.techniques import quantize_aware
from edgecompress.techniques.low_bits.stage import WEIGHTS
from edgecompress.techniques.low_bits.wrapper import LowBitWeights, channel_rows, from_channel_rows, reduced_axes
from edgecompress.tflite import Rewritten, parse
from edgecompress.training.course import frozen
from edgecompress.weight_grids import recover_scales, to_levels

LEVELS = {4: 15, 2: 3, "ternary": 3, "binary": 2}
TRAIN = Train(epochs=3, learning_rate=3e-3, schedule="cosine")


@pytest.fixture(scope="module")
def model(digits):
    """Every kind of kernel, trained as float."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.ReLU()(layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x))
    x = layers.ReLU()(layers.SeparableConv2D(16, 3, padding="same", name="separable")(x))
    x = layers.ReLU()(layers.Conv2DTranspose(8, 2, strides=2, name="up")(x))
    x = layers.Flatten()(layers.MaxPooling2D(4)(x))
    made = keras.Model(inputs, layers.Dense(10, name="logits")(layers.Dense(64, activation="relu", name="hidden")(x)))
    made.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = digits.train.arrays()
    made.fit(images, labels, batch_size=64, epochs=6, verbose=0)
    made.get_layer("norm").set_weights(
        [np.resize([-1.0, 1.0], 16) * made.get_layer("norm").get_weights()[0], *made.get_layer("norm").get_weights()[1:]]
    )
    made.fit(images, labels, batch_size=64, epochs=2, verbose=0)  # half of the channels change their sign when they are folded
    return made


@pytest.fixture(scope="module")
def low(model, digits, tmp_path_factory):
    """low(bits): the stage's result, trained once for each."""
    from edgecompress.recipe.schema import Task
    from edgecompress.stage import Context

    made = {}

    def train(bits, **fields):
        key = (bits, repr(fields))
        if key not in made:
            folder = tmp_path_factory.mktemp("low")
            context = Context("01 test", digits, Task(), 1, model, (), folder, Progress(), lambda model: {})
            keras.utils.set_random_seed(1)
            made[key] = quantize_aware.apply(model, QuantizeAware(bits=bits, train=TRAIN, **fields), context)
        return made[key]

    return train


def accuracy(model, digits):
    images, labels = digits.validation.arrays()
    return float((model.predict(images, verbose=0).argmax(1) == labels).mean())


@pytest.mark.parametrize("bits", LEVELS)
def test_each_output_channel_lies_on_a_grid(low, bits):
    for kernel in model_kernels(low(bits).model):
        rows = channel_rows(kernel.variable.numpy(), kernel.weight)
        scales = recover_scales(rows, 4 if bits == 4 else 2)
        assert (scales > 0).all(), kernel.layer
        levels = to_levels(rows, scales, 4 if bits == 4 else 2)
        np.testing.assert_allclose(levels * scales[:, None], rows, rtol=1e-6)
        if bits == "binary":
            assert set(np.unique(levels)) == {-1, 1}


@pytest.mark.parametrize(
    ("bits", "format"), [(4, "weight_only_int4"), (2, "weight_only_int2"), ("ternary", "weight_only_int2"), ("binary", "weight_only_int2")]
)
@pytest.mark.parametrize("family", ["xnnpack", "builtin"])
def test_the_file_is_the_trained_model(low, digits, bits, format, family):
    """Folding a BatchNormalization in float32 and another order of sums: rounding, nothing else."""
    result = low(bits)
    conversion = convert(result.model, Export(format=format), calibration=None, progress=Progress())
    assert {weights.stored for weights in conversion.weights} == {"int4" if bits == 4 else "int2"}
    images = digits.validation.arrays()[0][:64]
    expected = result.model.predict(images, verbose=0)
    received = TfliteModel(conversion.content, kernels=family).predict(images)
    np.testing.assert_allclose(received, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("bits", LEVELS)
def test_the_levels_are_read_back_from_the_file(low, bits):
    """Each weight's level in Keras is its integer in the file, up to the sign of a folded BatchNormalization."""
    result = low(bits)
    file = parse(convert(result.model, Export(format="int4" if bits == 4 else "int2"), calibration=None, progress=Progress()).content)
    reports = measure_keeps(result.model, result.keeps, Rewritten(file, file))
    assert len(reports) == 7  # a separable convolution has two kernels
    for report in reports:
        assert report.held
        assert report.on_tflite == report.on_model <= LEVELS[bits]


def test_training_beats_rounding(low, model, digits):
    """Ternary weights after training against the float model's rounded to them."""
    rounded = copy_model(model)
    for kernel in model_kernels(rounded):
        rows = channel_rows(kernel.variable.numpy(), kernel.weight)
        scales = np.abs(rows).mean(1)
        kernel.variable.assign(from_channel_rows(to_levels(rows, scales, 2) * scales[:, None], kernel.weight, kernel.variable.shape))
    assert accuracy(low("ternary").model, digits) > accuracy(rounded, digits) + 0.1
    assert accuracy(low(4).model, digits) > accuracy(model, digits) - 0.05


def test_the_model_given_is_not_changed_and_records_say_what_was_done(low, model):
    before = model.get_weights()
    result = low(4, layers=["type:Dense", "conv"], skip=["logits"])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    changed = {record.name: record.reason for record in result.layers if record.action == "changed"}
    assert changed == dict.fromkeys(["conv", "hidden"], "trained as 4 bits (-7 to 7)")
    skipped = {record.name: record.reason for record in result.layers if record.action == "skipped"}
    assert skipped["logits"] == "named in `skip`"
    assert skipped["norm"] == "not named in `layers`"
    assert {keep.layer for keep in result.keeps} == {"conv", "hidden"}


def test_zeros_stay_zero_but_where_weights_are_binary(model, make_context):
    mask = np.ones(model.get_layer("hidden").kernel.shape, bool)
    mask[::2] = False
    keep = Keep("mask", "hidden", "kernel", mask)
    config = {"layers": ["hidden"], "train": Train(epochs=1)}
    held = quantize_aware.apply(model, QuantizeAware(bits=2, **config), make_context(keeps=[keep]))
    assert not held.model.get_layer("hidden").get_weights()[0][::2].any()
    assert held.keeps[0] is keep
    assert not held.released
    broken = quantize_aware.apply(model, QuantizeAware(bits="binary", **config), make_context(keeps=[keep]))
    assert broken.released == ("hidden: sparsity 0.5000, a binary weight is never zero",)


def test_layers_are_frozen_by_their_class_and_counted_without_their_scales(model):
    def wrap(layer):
        return LowBitWeights(layer, WEIGHTS[type(layer).__name__], 4) if type(layer).__name__ in WEIGHTS else layer

    trainee = with_layers_wrapped(model, wrap)
    with frozen(trainee, ["type:Conv2D"]):
        names = {variable.name.split("/")[0] for variable in trainee.trainable_variables}
    assert names == {variable.name.split("/")[0] for variable in model.trainable_variables} - {"conv"}
    assert any(variable.name.startswith("conv/") for variable in trainee.trainable_variables)
    assert [(layer.name, layer.type, layer.parameters) for layer in describe_layers(trainee)] == [
        (layer.name, layer.type, layer.parameters) for layer in describe_layers(model)
    ]


def test_same_seed_same_bits(model, make_context):
    config = QuantizeAware(bits=4, layers=["hidden"], train=Train(epochs=1))
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        results.append(quantize_aware.apply(model, config, make_context()).model.get_weights())
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_layer_without_a_kernel_is_refused(model):
    with pytest.raises(RecipeError, match=r"layers must match a layer that can be worked on.*norm: BatchNormalization has no kernel"):
        quantize_aware.plan(model, QuantizeAware(bits=2, layers=["norm"], train=TRAIN))
    with pytest.raises(ModelError, match="a layer must be left to work on"):
        quantize_aware.plan(model, QuantizeAware(bits=2, skip=["*"], train=TRAIN))


@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense", "Conv1D"])
def test_channels_are_rows_that_share_a_scale(kind):
    kernel = KERNEL_WEIGHTS[kind][0]
    values = np.arange(2 * 3 * 4 * 5).reshape({"Dense": (6, 20), "Conv1D": (2, 12, 5)}.get(kind, (2, 3, 4, 5)))
    rows = channel_rows(values, kernel)
    np.testing.assert_array_equal(from_channel_rows(rows, kernel, values.shape), values)
    assert len(rows) == values.size // np.prod([values.shape[axis] for axis in reduced_axes(kernel, values.ndim)])
    if kind == "DepthwiseConv2D":
        np.testing.assert_array_equal(rows[1], values[:, :, 0, 1].reshape(-1))
