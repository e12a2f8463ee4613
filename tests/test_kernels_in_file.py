"""What the final file holds of each layer: keeps measured on its integers, bytes, and what cannot be measured."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.export import convert
from edgecompress.graph.kernel_weights import model_kernels
from edgecompress.keeps import find_variable, mask_of
from edgecompress.kernels_in_file import broken, layer_bytes, measure_keeps
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import ClusterWeights, PruneWeights
from edgecompress.record import load_stage, save_stage, stage_report
from edgecompress.report.schema import KeepReport
from edgecompress.shrinking import shrink_export
from edgecompress.store import StageFolder
from edgecompress.techniques import cluster_weights, prune_weights
from edgecompress.tflite import Rewritten, parse, read_constant

layers = keras.layers


def exported(model, format="int8", only=()):
    shape = (16, *model.inputs[0].shape[1:])
    samples = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    file = parse(convert(model, Export(format=format, only=list(only)), calibration=samples, progress=Progress()).content)
    return Rewritten(file, file)


@pytest.fixture(scope="module")
def convolutions():
    """Each kind of convolution that a file holds, in one and in two dimensions. Output channels differ in size: so do their scales."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2DTranspose(5, 3, strides=2, name="up")(layers.Conv2D(6, 3, name="conv")(inputs))
    x = layers.SeparableConv2D(6, 3, name="separable")(x)
    x = layers.Reshape((121, 6), name="reshape")(x)
    x = layers.Conv1DTranspose(5, 3, name="up_1d")(layers.Conv1D(7, 3, name="conv_1d")(x))
    x = layers.DepthwiseConv1D(2, depth_multiplier=2, name="depthwise_1d")(layers.SeparableConv1D(6, 3, name="separable_1d")(x))
    model = keras.Model(inputs, layers.Dense(11, name="dense")(x))
    for kernel in model_kernels(model):
        values = np.moveaxis(kernel.variable.numpy(), kernel.weight.channel_axis, -1)
        values = values * np.linspace(0.3, 1, values.shape[-1])
        kernel.variable.assign(np.moveaxis(values, -1, kernel.weight.channel_axis))
    return model


@pytest.fixture(scope="module")
def clustered(convolutions):
    """`convolutions` with 60 % zeros and 8 distinct values per layer, and its keeps."""
    from edgecompress.stage import Context

    def context(keeps):
        return Context("01 test", None, None, 0, None, keeps, None, Progress(), None)

    pruned = prune_weights.apply(convolutions, PruneWeights(sparsity=0.6), context(()))
    return cluster_weights.apply(pruned.model, ClusterWeights(clusters=8), context(pruned.keeps))


@pytest.mark.parametrize("format", ["float32", "int8"])
def test_every_keep_is_found_in_the_file_and_holds(clustered, format):
    reports = measure_keeps(clustered.model, clustered.keeps, exported(clustered.model, format))
    assert {report.layer for report in reports} == {"conv", "up", "separable", "conv_1d", "up_1d", "separable_1d", "dense"}
    for report in reports:
        assert report.held, report
        if report.kind == "mask":
            # int8: small weights round to zero, too
            assert report.on_tflite == report.on_model if format == "float32" else report.on_tflite >= report.on_model
        else:
            assert report.on_tflite <= report.on_model <= 8
    assert broken(reports) == []


def test_a_zero_that_the_file_lost_is_a_warning(clustered, convolutions):
    file = exported(convolutions, "float32")
    reports = measure_keeps(clustered.model, [keep for keep in clustered.keeps if keep.layer == "up"], file)
    assert [report.held for report in reports] == [False, False]
    assert broken(reports)[0] == "up: sparsity 0.6000 was not kept: 0.6 in Keras, 0.0 in the file"


def test_keeps_that_the_file_does_not_show_are_a_warning():
    inputs = keras.Input((4, 4, 4, 2))
    model = keras.Model(inputs, layers.Conv3D(3, 2, name="cube")(inputs))
    keep = mask_of("cube", "kernel", find_variable(model, "cube", "kernel").numpy())
    (report,) = measure_keeps(model, [keep], exported(model, "float32"))
    assert (report.held, report.on_tflite) == (True, None)
    assert broken([report]) == ["cube: sparsity 0.0000 could not be measured in the file"]


def test_a_broken_keep_that_the_file_does_not_show_is_said_once():
    report = KeepReport(layer="words", kind="mask", what="sparsity 0.5000", on_model=0.25, on_tflite=None, held=False)
    assert broken([report]) == ["words: sparsity 0.5000 was not kept: 0.25 in Keras, not found in the file"]


def test_bytes_of_a_layer_are_those_of_all_its_kernels(convolutions):
    entries = layer_bytes(convolutions, convolutions, exported(convolutions))
    found = {entry.name: (entry.baseline_bytes, entry.final_bytes) for entry in entries}
    weights = {
        "conv": 3 * 3 * 2 * 6, "up": 3 * 3 * 5 * 6, "separable": 3 * 3 * 5 + 5 * 6, "conv_1d": 3 * 6 * 7, "up_1d": 3 * 5 * 7,
        "separable_1d": 3 * 5 + 5 * 6, "depthwise_1d": 2 * 6 * 2, "dense": 12 * 11,
    }  # fmt: skip
    assert found == {name: (4 * count, count) for name, count in weights.items()}


@pytest.fixture(scope="module")
def with_dead_channels():
    """Every other filter of the first convolution is zero and stays zero behind the ReLU, so the shrink takes it out, there and behind."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((8, 8, 1))
    x = layers.ReLU()(layers.Conv2D(8, 3, name="first")(inputs))
    model = keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten()(layers.Conv2D(4, 3, name="second")(x))))
    first, second = (model.get_layer(name) for name in ("first", "second"))
    first.kernel.assign(first.kernel.numpy() * (np.arange(8) % 2))
    second.kernel.assign(second.kernel.numpy() * (np.arange(4) > 0))
    return model


def test_bytes_and_keeps_are_those_of_the_shrunk_file(with_dead_channels):
    model = with_dead_channels
    samples = np.random.default_rng(5).normal(size=(16, 8, 8, 1)).astype(np.float32)
    conversion = convert(model, Export(format="int8"), calibration=samples, progress=Progress())
    shrunk = shrink_export(conversion.content)
    file = Rewritten(parse(conversion.content), parse(shrunk.content), shrunk.kept)
    found = {entry.name: entry.final_bytes for entry in layer_bytes(model, model, file)}
    assert found == {"first": 9 * 4, "second": 9 * 4 * 3, "logits": 16 * 3 * 3}
    keeps = [mask_of(name, "kernel", find_variable(model, name, "kernel").numpy()) for name in ("first", "second")]
    reports = measure_keeps(model, keeps, file)
    assert [report.on_model for report in reports] == [0.5, 0.25]
    assert all(report.held for report in reports)
    in_file = [
        read_constant(file.after, tensor) for tensor in file.after.subgraphs[0].tensors if tensor.shape in ((4, 3, 3, 1), (3, 3, 3, 4))
    ]
    assert [report.on_tflite for report in reports] == [float((values == 0).mean()) for values in in_file]
    assert reports[0].on_tflite < 0.1  # the zeros went with the filters


def test_bytes_are_unknown_where_one_kernel_of_a_layer_is_missing():
    inputs = keras.Input((8, 8, 2))
    whole = keras.Model(inputs, layers.SeparableConv2D(4, 3, name="separable")(inputs))
    part = keras.Model(inputs, layers.DepthwiseConv2D(3, name="separable")(inputs))
    assert [(entry.name, entry.final_bytes) for entry in layer_bytes(whole, whole, exported(part, "float32"))] == [("separable", None)]


def test_layers_of_nested_models_have_bytes():
    inner = keras.Input((8, 8, 2))
    block = keras.Model(inner, layers.Conv2D(4, 3, name="conv")(inner), name="block")
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, block(layers.Conv2D(2, 3, padding="same", name="conv")(inputs)))
    found = {entry.name: (entry.baseline_bytes, entry.final_bytes) for entry in layer_bytes(model, model, exported(model, "float32"))}
    assert found == {"conv": (72, 72), "block/conv": (288, 288)}


@pytest.mark.parametrize("layer", ["up_1d", "separable_1d"])
def test_layers_of_one_dimension_can_be_chosen_for_the_format_dynamic(convolutions, layer):
    file = exported(convolutions, "dynamic", only=[layer])
    small = [entry.name for entry in layer_bytes(convolutions, convolutions, file) if entry.final_bytes * 4 == entry.baseline_bytes]
    assert small == [layer]


def test_the_channel_axis_of_a_keep_is_stored(clustered, tmp_path):
    report = stage_report(1, "cluster_weights", None, clustered, {"accuracy": 0.5}, 0.0)
    folder = StageFolder(tmp_path / "final", tmp_path / "partial", "key")
    folder.begin()
    save_stage(folder, clustered, report)
    _, _, keeps = load_stage(folder, allow_code=False)
    stored = [(keep.kind, keep.layer, keep.weight, keep.channel_axis, keep.values.tolist()) for keep in keeps]
    assert stored == [(keep.kind, keep.layer, keep.weight, keep.channel_axis, keep.values.tolist()) for keep in clustered.keeps]
