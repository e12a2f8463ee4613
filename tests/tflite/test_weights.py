"""Kernels found in a file: by name, by order, not at all; in Keras' order of axes."""

import copy
import dataclasses

import numpy as np
import pytest

from edgecompress.errors import ModelError
from edgecompress.tflite import KerasKernel, Tflite, find_kernels, parse, read_constant
from edgecompress.tflite.weights import layer_rank, weighted_operators

# Every kind of kernel: layer, shape of the Keras variable, kind.
KERNELS = [
    KerasKernel("stem", (3, 3, 3, 8), "Conv2D"),
    KerasKernel("block/dw", (3, 3, 8, 2), "DepthwiseConv2D"),
    KerasKernel("block/pw", (1, 1, 16, 8), "Conv2D"),
    KerasKernel("up", (3, 3, 4, 8), "Conv2DTranspose"),
    KerasKernel("sep", (3, 3, 4, 1), "DepthwiseConv2D"),
    KerasKernel("sep", (1, 1, 4, 8), "Conv2D"),
    KerasKernel("steps", (3, 8, 6), "Conv1D"),
    KerasKernel("dense", (6, 16), "Dense"),
    KerasKernel("dense_1", (16, 16), "Dense"),
    KerasKernel("dense_2", (16, 16), "Dense"),
]


def find_one(tflite, layer, shape, kind):
    return find_kernels(tflite, [KerasKernel(layer, shape, kind)])[0]


@pytest.fixture(scope="module")
def keras_model():
    """All kinds of kernels, with and without BatchNormalization, one of them in a nested model. No weight is zero."""
    from edgecompress.backend import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    inner = keras.Input((8, 8, 8))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, depth_multiplier=2, name="dw")(inner)
    x = layers.Conv2D(8, 1, use_bias=False, name="pw")(layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x)))
    block = keras.Model(inner, layers.ReLU(name="relu2")(layers.BatchNormalization(name="norm2")(x)), name="block")
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(inputs)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="up")(block(x))
    x = layers.SeparableConv2D(8, 3, name="sep")(x)
    x = layers.Conv1D(6, 3, name="steps")(layers.Reshape((14 * 14, 8), name="reshape")(x))
    x = layers.Dense(16, activation="relu", name="dense")(x)
    x = layers.Dense(16, name="dense_2")(layers.Dense(16, activation="relu", name="dense_1")(x))
    model = keras.Model(inputs, x, name="dense")  # the name of a layer, too: a trap
    generator = np.random.default_rng(2)
    for norm in (layer for layer in model.submodules if type(layer).__name__ == "BatchNormalization"):
        norm.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in norm.get_weights()])
    return model


@pytest.fixture(scope="module")
def convert_model(keras_model):
    """format -> parsed file; each made once."""
    from edgecompress.export import convert
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Export

    made: dict[str, Tflite] = {}
    samples = np.random.default_rng(3).normal(size=(8, 8, 8, 3)).astype(np.float32)

    def make(format: str) -> Tflite:
        if format not in made:
            made[format] = parse(convert(keras_model, Export(format=format), calibration=samples, progress=Progress()).content)
        return made[format]

    return make


def variable_of(model, kernel: KerasKernel) -> np.ndarray:
    layer = model
    for name in kernel.layer.split("/"):
        layer = layer.get_layer(name)
    return next(variable.numpy() for variable in layer.weights if tuple(variable.shape) == kernel.shape)


def without_names(tflite: Tflite) -> Tflite:
    """As the lossless shrink leaves a file."""
    main = tflite.subgraphs[0]
    tensors = tuple(dataclasses.replace(tensor, name="") for tensor in main.tensors)
    return dataclasses.replace(tflite, subgraphs=(dataclasses.replace(main, tensors=tensors), *tflite.subgraphs[1:]))


def is_folded(kernel: KerasKernel) -> bool:
    """BatchNormalization follows: the file holds the kernel times one factor per output channel."""
    return kernel.layer.startswith("block/")


def test_kernels_of_a_float_file_are_the_keras_variables(keras_model, convert_model):
    """Exactly, but for folded BatchNormalization, which multiplies each output channel: then the ratio is one number per channel."""
    for kernel, stored in zip(KERNELS, find_kernels(convert_model("float32"), KERNELS), strict=True):
        variable = variable_of(keras_model, kernel)
        if is_folded(kernel):
            ratio = stored.values / variable
            ratio = ratio.reshape(-1, ratio.shape[-1] if kernel.kind == "Conv2D" else ratio.shape[-1] * ratio.shape[-2])
            np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-4)  # float32 rounding of the folding
        else:
            np.testing.assert_array_equal(stored.values, variable)
        assert stored.scales.size == stored.zero_points.size == 0


@pytest.mark.parametrize("format", ["int8", "int16x8"])
def test_kernels_of_a_quantized_file_are_the_keras_variables_to_half_a_step(keras_model, convert_model, format):
    for kernel, stored in zip(KERNELS, find_kernels(convert_model(format), KERNELS), strict=True):
        assert stored.values.dtype == np.int8
        assert stored.values.shape == kernel.shape
        assert (stored.zero_points == 0).all()
        if is_folded(kernel):
            continue
        axis = 2 if kernel.kind == "Conv2DTranspose" else -1
        scales = stored.scales.reshape(variable_of(keras_model, kernel).shape[2:]) if kernel.kind == "DepthwiseConv2D" else stored.scales
        real = np.moveaxis(np.moveaxis(stored.values.astype(np.float32), axis, -1) * scales, -1, axis)
        error = np.moveaxis(np.abs(real - variable_of(keras_model, kernel)), axis, -1) / scales
        assert error.max() <= 0.5 + 1e-3  # rounding to the nearest integer, and float32 rounding of the scale


def test_a_float16_kernel_is_found_behind_its_dequantize(keras_model, convert_model):
    stored = find_one(convert_model("float16"), "stem", (3, 3, 3, 8), "Conv2D")
    assert stored.values.dtype == np.float16
    np.testing.assert_array_equal(stored.values, variable_of(keras_model, KERNELS[0]).astype(np.float16))


def test_without_names_the_order_of_the_graph_decides(convert_model):
    tflite = convert_model("int8")
    by_name, by_order = find_kernels(tflite, KERNELS), find_kernels(without_names(tflite), KERNELS)
    assert [stored.tensor_index for stored in by_order] == [stored.tensor_index for stored in by_name]


def test_without_names_an_incomplete_list_of_layers_leaves_ambiguous_kernels_open(convert_model):
    stored = find_kernels(without_names(convert_model("int8")), [kernel for kernel in KERNELS if kernel.layer != "dense_2"])
    open_kernels = [kernel.layer for kernel, found in zip(KERNELS, stored, strict=False) if found is None]
    assert open_kernels == ["dense_1"]  # two constants have its shape


@pytest.mark.parametrize(("layer", "shape", "kind"), [("stem", (5, 5, 3, 8), "Conv2D"), ("stem", (3, 3, 3, 8), "Conv2DTranspose")])
def test_a_kernel_of_another_shape_or_kind_is_not_found(convert_model, layer, shape, kind):
    assert find_one(convert_model("int8"), layer, shape, kind) is None


def test_layers_that_share_one_constant_find_the_same(by_hand):
    """The converter stores equal kernels once, under both names."""
    tensors = [
        by_hand.tensor("x", [1, 4]),
        by_hand.tensor("m/first/MatMul;m/second/MatMul", [4, 4], buffer=1),
        by_hand.tensor("y", [1, 4]),
        by_hand.tensor("z", [1, 4]),
    ]
    operators = [by_hand.operator(0, [0, 1, -1], [2]), by_hand.operator(0, [2, 1, -1], [3])]
    model = by_hand.file([by_hand.code("FULLY_CONNECTED")], tensors, operators, buffers=[np.eye(4, dtype=np.float32)], outputs=[3])
    tflite = parse(by_hand.pack(model))
    assert len(weighted_operators(tflite)) == 2
    assert [find_one(tflite, name, (4, 4), "Dense").tensor_index for name in ("first", "second")] == [1, 1]


def test_two_constants_of_one_name_are_ambiguous(by_hand):
    tensors = [
        by_hand.tensor("x", [1, 4]),
        *(by_hand.tensor("m/a/MatMul", [4, 4], buffer=number) for number in (1, 2)),
        by_hand.tensor("y", [1, 4]),
    ]
    operators = [by_hand.operator(0, [0, 1, -1], [3]), by_hand.operator(0, [3, 2, -1], [0])]
    buffers = [np.eye(4, dtype=np.float32), np.ones((4, 4), np.float32)]
    tflite = parse(by_hand.pack(by_hand.file([by_hand.code("FULLY_CONNECTED")], tensors, operators, buffers=buffers)))
    assert find_one(tflite, "a", (4, 4), "Dense") is None


@pytest.mark.parametrize(
    ("name", "layer", "kind", "rank"),
    [
        ("model/conv/Conv2D", "conv", "Conv2D", 0),
        ("model/conv/Conv2D1", "conv", "Conv2D", 0),
        ("model/relu/Relu;model/norm/FusedBatchNormV3;model/conv/depthwise", "conv", "DepthwiseConv2D", 0),
        ("model/quant_conv/Conv2D;model/quant_conv/LastValueQuant/FakeQuantWithMinMaxVarsPerChannel", "conv", "Conv2D", 0),
        ("model/outer/inner/Conv2D", "outer/inner", "Conv2D", 0),
        ("model/td/Tensordot/MatMul", "td", "Dense", 0),
        ("model/relu/Relu;model/conv/BiasAdd", "conv", "Conv2D", 1),
        ("conv/dense/MatMul", "conv", "Dense", 1),
        ("model/conv_1/Conv2D", "conv", "Conv2D", None),
        ("model/my.conv/Conv2D", "my_conv", "Conv2D", None),
        ("", "conv", "Conv2D", None),
    ],
)
def test_a_name_says_how_well_it_fits_a_layer(name, layer, kind, rank):
    assert layer_rank(name, layer, kind) == rank


def test_a_constant_whose_bytes_do_not_fit_its_shape_is_a_model_error(by_hand, dense_model):
    model = copy.deepcopy(dense_model)
    model.subgraphs[0].tensors[1].shape = [3, 5]
    tflite = parse(by_hand.pack(model))
    with pytest.raises(ModelError, match=r"'model/dense/MatMul' must be a dense constant .* Received: int8 \[3, 5\] with 12 bytes"):
        read_constant(tflite, tflite.subgraphs[0].tensors[1])
    assert find_one(tflite, "dense", (5, 3), "Dense") is None


def test_constants_are_read_only_views(dense_file):
    tflite = parse(dense_file)
    values = read_constant(tflite, tflite.subgraphs[0].tensors[1])
    assert not values.flags.writeable
    np.testing.assert_array_equal(values, np.arange(12).reshape(3, 4))
