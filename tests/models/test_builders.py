"""Every builder: its published size, its shapes, its seed, and the way through TF-MOT and the converter."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgecompress.backend import keras, model_optimization, tf
from edgecompress.errors import ModelError
from edgecompress.graph.layers import describe_layers, total
from edgecompress.models.builders import BUILDERS, build_model
from edgecompress.models.convolutional import strides_that_fit
from edgecompress.recipe.schema import BuilderModel

IMAGE_BUILDERS = [name for name, builder in BUILDERS.items() if builder.takes_images]


def built(name: str, input_shape: tuple[int, ...], num_outputs: int = 10, *, width: int | None = None, seed: int = 0) -> keras.Model:
    return build_model(BuilderModel(source="builder", name=name, width=width), input_shape, num_outputs, seed=seed)


@pytest.mark.parametrize(
    ("name", "input_shape", "num_outputs", "parameters", "macs"),
    [
        # convolutions 288 + 9,216 + 18,432 + 36,864, BatchNormalization 4 x (32 + 32 + 64 + 64), Dense 3136 x 256 + 256, 256 x 10 + 10
        ("cnn", (28, 28, 1), 10, 871_210, 784 * (288 + 9_216) + 196 * (18_432 + 36_864) + 3136 * 256 + 2_560),
        # MLPerf Tiny's reference models hold these numbers
        ("ds_cnn", (49, 10, 1), 12, 24_908, 2_656_768),
        ("mobilenet_v1", (96, 96, 3), 2, 221_794, 7_489_664),
        ("resnet8", (32, 32, 3), 10, 78_666, 12_501_632),
        ("autoencoder", (640,), 640, 269_992, 264_192),
        # 784 x 256 + 256 x 256 + 256 x 10, and biases
        ("mlp", (28, 28, 1), 10, 269_322, 268_800),
    ],
)
def test_published_size_is_reproduced(name, input_shape, num_outputs, parameters, macs):
    totals = total(describe_layers(built(name, input_shape, num_outputs)))
    assert (totals.parameters, totals.macs, totals.macs_known) == (parameters, macs, True)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("mobilenet_v1", "vww/vww_96.h5"),
        ("resnet8", "ic/pretrainedResnet.h5"),
        ("autoencoder", "ad/ad01.h5"),
    ],
)
def test_builder_computes_what_the_mlperf_tiny_reference_does(data_folder, name, path):
    reference = keras.models.load_model(data_folder / "mlperf_tiny" / path, compile=False)
    model = built(name, reference.input_shape[1:], reference.output_shape[-1])
    model.set_weights(reference.get_weights())
    inputs = np.random.default_rng(0).random((4, *reference.input_shape[1:]), np.float32)
    outputs = model(inputs) if name == "autoencoder" else tf.nn.softmax(model(inputs))
    # float rounding: a mean over the map is summed in another order than an average pooling
    np.testing.assert_allclose(outputs, reference(inputs), rtol=1e-4, atol=1e-5)


def test_width_scales_every_layer_of_the_cnn_in_proportion():
    filters = [layer.filters for layer in built("cnn", (8, 8, 1), width=6).layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [6, 6, 12, 12]
    assert built("cnn", (8, 8, 1), width=6).get_layer("dense1").units == 48


@pytest.mark.parametrize("name", BUILDERS)
def test_same_seed_gives_same_names_and_bits_whatever_came_before(name):
    first = built(name, (8, 8, 1), width=8, seed=3)
    tf.random.set_seed(1)
    np.random.seed(1)
    keras.layers.Dense(3)(tf.ones((1, 2)))
    again = built(name, (8, 8, 1), width=8, seed=3)
    assert [layer.name for layer in first.layers] == [layer.name for layer in again.layers]
    assert all(np.array_equal(one, two) for one, two in zip(first.get_weights(), again.get_weights(), strict=True))
    assert first.name == name


@pytest.mark.parametrize("name", BUILDERS)
def test_outputs_are_finite_logits_or_the_input_shape_and_width_is_that_of_the_first_layer(name):
    model = built(name, (12, 10, 3), 7, width=16)
    assert next(layer for layer in model.layers if layer.weights).weights[0].shape[-1] == 16
    outputs = model(np.random.default_rng(0).random((2, 12, 10, 3), np.float32)).numpy()
    assert outputs.shape == ((2, 12, 10, 3) if name == "autoencoder" else (2, 7))
    assert np.isfinite(outputs).all()
    assert (outputs < 0).any(), "logits and reconstructions are not squeezed into [0, 1]"


def test_another_seed_gives_other_weights():
    kernels = [built("mlp", (8,), width=8, seed=seed).get_layer("dense1").get_weights()[0] for seed in (0, 1)]
    assert not np.array_equal(*kernels)


def test_layers_of_equal_shape_start_from_different_weights():
    model = built("mlp", (256,), width=256)
    assert not np.array_equal(model.get_layer("dense1").get_weights()[0], model.get_layer("dense2").get_weights()[0])


@pytest.mark.parametrize(
    ("size", "strides"),
    [
        (4, [1, 1, 1, 1, 1]),  # 4 -> 4
        (8, [1, 1, 1, 1, 2]),  # 8 -> 4
        (28, [1, 1, 2, 2, 2]),  # 28 -> 14 -> 7 -> 4
        (32, [1, 1, 2, 2, 2]),  # 32 -> 4
        (64, [1, 2, 2, 2, 2]),  # 64 -> 4
        (96, [2, 2, 2, 2, 2]),  # 96 -> 3, as published
        (224, [2, 2, 2, 2, 2]),  # 224 -> 7, as published
    ],
)
def test_mobilenet_keeps_a_last_map_of_at_least_three_pixels(size, strides):
    assert strides_that_fit([2, 2, 2, 2, 2], size) == strides


def test_mobilenet_uses_the_strides_that_fit():
    assert built("mobilenet_v1", (28, 28, 1), width=4).get_layer("block13_pointwise_relu").output_shape[1:3] == (4, 4)


@pytest.mark.parametrize("name", ["mlp", "autoencoder"])
@pytest.mark.parametrize("input_shape", [(5,), (4, 3), (2, 3, 4, 2)])
def test_fully_connected_builders_take_any_rank(name, input_shape):
    expected = input_shape if name == "autoencoder" else (10,)
    assert built(name, input_shape, width=8).output_shape[1:] == expected


@pytest.mark.parametrize("name", IMAGE_BUILDERS)
@pytest.mark.parametrize("input_shape", [(28, 28), (784,), (2, 28, 28, 1)])
def test_wrong_rank_is_a_model_error(name, input_shape):
    with pytest.raises(ModelError, match=rf"builder {name} must be \(height, width, channels\)\. Received: \({input_shape[0]},"):
        built(name, input_shape)


@pytest.mark.parametrize("name", IMAGE_BUILDERS)
@pytest.mark.parametrize("input_shape", [(3, 28, 1), (28, 3, 1)])
def test_image_too_small_is_a_model_error(name, input_shape):
    with pytest.raises(ModelError, match=r"must be at least 4 pixels high and wide\. Received"):
        built(name, input_shape)


@pytest.mark.parametrize("name", IMAGE_BUILDERS)
def test_smallest_image_works(name):
    assert built(name, (4, 4, 1), 2, width=4).output_shape == (None, 2)


def test_empty_shapes_and_no_outputs_are_model_errors():
    with pytest.raises(ModelError, match="sizes of at least 1"):
        built("mlp", ())
    with pytest.raises(ModelError, match="sizes of at least 1"):
        built("mlp", (0, 4))
    with pytest.raises(ModelError, match=r"num_outputs of builder mlp must be at least 1\. Received: 0"):
        built("mlp", (4,), 0)


@pytest.mark.full  # TensorFlow tries for ten seconds before it gives up
def test_model_beyond_memory_is_a_model_error():
    with pytest.raises(ModelError, match=r"builder mlp at width 4096 must fit into memory\. Received: input shape \(1000000000,\)"):
        built("mlp", (1_000_000_000,), width=4096)  # 16 terabytes


# mobilenet_v1 is three times as deep as the others and made of the same blocks as ds_cnn.
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.full) if name == "mobilenet_v1" else name for name in BUILDERS])
class TestEveryBuilderGoesThroughTheWholeLine:
    """On 8x8 images, with one training step, in TF-MOT's wrappers, and as an int8 file."""

    inputs = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)

    def model(self, name: str) -> keras.Model:
        return built(name, (8, 8, 1), 3, width=8)

    def train_one_step(self, model: keras.Model, name: str) -> None:
        targets = self.inputs if name == "autoencoder" else np.array([0, 1, 2, 0])
        loss = "mean_squared_error" if name == "autoencoder" else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, run_eagerly=True)  # one step does not repay the tracing of a graph
        assert np.isfinite(model.train_on_batch(self.inputs, targets))

    def test_trains(self, name):
        model = self.model(name)
        before = model.get_weights()
        self.train_one_step(model, name)
        assert not all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))

    def test_is_pruned_and_stripped(self, name):
        pruning = model_optimization().sparsity.keras
        model = pruning.prune_low_magnitude(self.model(name), pruning.ConstantSparsity(0.5, begin_step=0, frequency=1))
        stripped = pruning.strip_pruning(model)
        assert [layer.name for layer in stripped.layers] == [layer.name for layer in self.model(name).layers]

    def test_is_quantize_aware_trained(self, name):
        self.train_one_step(model_optimization().quantization.keras.quantize_model(self.model(name)), name)

    def test_becomes_an_int8_file_without_float_operators(self, name):
        converter = tf.lite.TFLiteConverter.from_keras_model(self.model(name))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample[None]] for sample in self.inputs)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        interpreter = Interpreter(model_content=converter.convert())
        interpreter.allocate_tensors()
        interpreter.invoke()
        assert not [tensor["name"] for tensor in interpreter.get_tensor_details() if tensor["dtype"] == np.float32]
